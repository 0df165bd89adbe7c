"""What the model is told: goal, actions, progress, views. The same for every task."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from worldloop.agents.vlm.config import VlmConfig
from worldloop.agents.vlm.forms import describe_actions
from worldloop.agents.vlm.pictures import Picture, more_views, picture, small_numbers, view
from worldloop.agents.vlm.prompts import Part
from worldloop.core import Candidate, Observation, Situation

RECENT = 30
"""Actions that are listed; of earlier ones only the number is told."""
STOPPING = " If the goal is reached where the agent stands now, the plan is to stop; nothing after a stop is carried out."


def shared_slots(situation: Situation, config: VlmConfig, stops: bool) -> dict[str, str | list[Part]]:
    """Slots that all prompts share."""
    goal = situation.goal
    return {
        "goal": goal.text,
        "goal_view": [] if goal.image is None else ["The goal picture:\n", *_shown(goal.image, config), "\n"],
        "actions": describe_actions(situation.vocabulary, stops),
        "decision": str(situation.decision + 1),
        "budget": str(situation.budget),
        "execute": str(min(situation.execute, situation.horizon)),
        "rollouts": str(situation.rollouts),
        "horizon": str(situation.horizon),
        "stopping": STOPPING if stops else "",
        "progress": progress(situation),
        "views": views(situation, config),
    }


def progress(situation: Situation) -> str:
    """The actions so far, run by run, and which of them were blocked."""
    actions = [str(a) for a in situation.actions]
    if not actions:
        return "Nothing has been done yet."
    blocked = [bool(o.extra.get("collided", False)) for o in situation.history[1:]]
    told = list(itertools.zip_longest(actions, blocked, fillvalue=False))
    said = []
    for (name, hit), run in itertools.groupby(told[-RECENT:]):
        count = len(list(run))
        said.append(f"{name}{f' x{count}' if count > 1 else ''}{' (blocked)' if hit else ''}")
    earlier = f"{len(told) - RECENT} earlier actions, then " if len(told) > RECENT else ""
    return f"Done so far: {earlier}{', '.join(said)}."


def views(situation: Situation, config: VlmConfig) -> list[Part]:
    """The last real views, the present one last."""
    now = situation.observation
    past = situation.history[-1 - config.past_views : -1]
    parts: list[Part] = []
    for i, observation in enumerate(past):
        parts += [f"View {len(past) - i} actions ago:\n", *_seen(observation, config), "\n"]
    parts += ["View now:\n", *_seen(now, config), "\n"]
    if config.panorama and now.panorama is not None:
        parts += ["All around, the middle is ahead:\n", *_shown(now.panorama, config), "\n"]
    for name, extra in more_views(now, config.max_side).items():
        parts += [f"{name} now:\n", *_image(extra, config), "\n"]
    for name, values in small_numbers(now).items():
        parts.append(f"{name}: {', '.join(f'{v:g}' for v in values)}\n")
    if now.text:
        parts.append(f"{now.text}\n")
    return parts


def plans(candidates: Sequence[Candidate], config: VlmConfig) -> list[Part]:
    """Each plan with some of its imagined views."""
    parts: list[Part] = []
    for number, candidate in enumerate(candidates, start=1):
        parts.append(f"Plan {number}: {candidate.plan}\n")
        frames = candidate.rollout.frames if candidate.rollout is not None else ()
        for i in spaced(len(frames), config.frames_per_plan):
            parts += [f"imagined after action {i + 1}:\n", *_seen(frames[i], config), "\n"]
    return parts


def spaced(length: int, count: int) -> list[int]:
    """Up to `count` indices below `length`, evenly spaced, the last one among them."""
    if not length:
        return []
    return sorted({int(i) for i in np.rint(np.linspace(length - 1, -1, min(count, length), endpoint=False))})


def _seen(observation: Observation, config: VlmConfig) -> list[Part]:
    return _image(view(observation, config.max_side), config)


def _shown(image: np.ndarray, config: VlmConfig) -> list[Part]:
    return _image(picture(image, config.max_side), config)


def _image(shown: Picture, config: VlmConfig) -> list[Part]:
    return [shown] if config.images else ["(a picture, which you cannot see)"]
