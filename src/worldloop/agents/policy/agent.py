"""`--agent diffusion`: plans are samples of the policy; the reviser reads imagined pictures as for the scripted agent.

Nothing here looks at depth or segmentation: things are found by colour in the picture and by the known camera.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from worldloop.agents.manipulator import ManipulationReviser, ManipulatorConfig
from worldloop.agents.policy.files import load_policy, policy_hash, shipped_policy_path
from worldloop.agents.policy.network import DiffusionPolicy, as_tensor
from worldloop.agents.policy.waypoints import PARTS, goal_numbers, to_commands, to_numbers
from worldloop.agents.table_sight import HEIGHTS, TableGoal, middle_pixel, pixels_of, read_goal
from worldloop.core import Agent, Candidate, InputError, Situation
from worldloop.core.threads import each
from worldloop.envs.tabletop.cameras import THIRD
from worldloop.envs.tabletop.layout import HALF, STAND_HEIGHT
from worldloop.envs.tabletop.recovery import TableFacts, next_commands

LIT = 0.25
"""Share of a button's first pixels below which it is dark."""
HOLDS = (0.12, 0.75)
"""Opening of closed fingers that hold something."""


@dataclass
class Progress:
    """What the reviser goes by; see `manipulator`."""

    step: str
    number: int
    places: dict[str, np.ndarray]
    facts: TableFacts


class PolicyProposer:
    """M samples of the policy, each from noise of its own. Which comes first is chance."""

    def __init__(self, policy: DiffusionPolicy) -> None:
        self.policy = policy

    async def propose(self, situation: Situation) -> list[Candidate]:
        """Plans of up to `config.length` waypoints. InputError for longer ones, and for pictures of another size."""
        config, shape = self.policy.config, situation.observation.rgb.shape
        if situation.horizon > config.length:
            raise InputError(
                f"this policy plans {config.length} waypoints at most; use --horizon {config.length}"
            )
        if shape[:2] != (config.size, config.size):
            raise InputError(
                f"this policy sees {config.size} x {config.size} pixels, not {shape[0]} x {shape[1]}"
            )
        goal = read_goal(situation.goal)
        situation.memory["progress"] = await situation.compute(read_progress, situation, goal)
        chunks = await situation.compute(self._sample, situation, goal)
        low, high = np.array(situation.vocabulary.low), np.array(situation.vocabulary.high)
        details = {"phase": situation.memory["progress"].step}
        return [
            Candidate(
                situation.vocabulary.plan(np.clip(c[: situation.horizon], low, high)),
                -float(m),
                details=details,
            )
            for m, c in enumerate(chunks)
        ]

    def _sample(self, situation: Situation, goal: TableGoal) -> list[np.ndarray]:
        picture = as_tensor(torch.from_numpy(situation.observation.rgb.copy())[None])
        felt = np.asarray(situation.observation.extra["gripper"], float)
        hand, wanted = torch.from_numpy(to_numbers(felt))[None], torch.from_numpy(goal_numbers(goal))[None]

        def one(number: int) -> np.ndarray:
            noise = situation.draw("policy", number).standard_normal((1, self.policy.config.length * PARTS))
            chunk = self.policy.sample(picture, hand, wanted, torch.from_numpy(noise.astype(np.float32)))
            return to_commands(chunk[0].numpy(), float(felt[5]))

        return each(one, range(situation.rollouts))


def read_progress(situation: Situation, goal: TableGoal) -> Progress:
    """Where things are and what comes next, from pictures, the hand and the known camera alone."""
    now, start = situation.observation, situation.history[0]
    known = situation.memory.get("progress")
    places: dict[str, np.ndarray] = dict(known.places) if known else {}
    for name in goal.things:
        kind = name.split(" ")[1]
        # What does not move was seen best at the start, with the arm out of the way.
        rgb = (now if kind in ("block", "peg") else start).rgb
        pixel = middle_pixel(rgb, name)
        if pixel is not None:
            point = THIRD.on_plane(pixel, HEIGHTS[kind] * 0.6, rgb.shape[:2])
            places[name] = np.array([*point[:2], 0.0, 0.0])
        elif name not in places:
            places[name] = np.array([0.5, 0.0, 0.0, 0.0])
    hand = np.asarray(now.extra["gripper"], float)
    held, pressed = HOLDS[0] < hand[6] < HOLDS[1], 0
    if goal.family == "press":
        first = goal.things[0]
        pressed = int(len(pixels_of(now.rgb, first)) < LIT * len(pixels_of(start.rgb, first)))
        step = f"press-{pressed}"
    else:
        step = "push" if goal.family == "push" else ("place" if held else "pick")
    facts = TableFacts(goal.family, goal.things, places, hand, held, pressed, reached=False, lost=False)
    return Progress(step, 0, places, facts)


class PolicyReviser(ManipulationReviser):
    """The scripted reviser, told by a script without depth where the thing should be at the end of a good plan."""

    def _wanted(self, situation: Situation, goal: TableGoal, progress: Progress) -> np.ndarray:  # type: ignore[override]
        """float64 [3]: in the hand where that is closed in the end, else at the target."""
        facts, target = progress.facts, progress.places[goal.things[1]][:3]
        height = {"stack": 2 * HALF, "pick-place": STAND_HEIGHT}.get(goal.family, 0.0)
        there = target + np.array([0.0, 0.0, height + HALF])
        if goal.family == "push":
            return there
        last = next_commands(facts)[-1]
        if last[6] < 0.5:
            return last[:3]
        return there if facts.held else progress.places[goal.things[0]][:3] + np.array([0.0, 0.0, HALF])


def diffusion(task: str, weights: str = "") -> Agent:
    """The learnt policy, small. weights: a file of `worldloop train policy`; the packaged one without.

    InputError for a task other than manipulation, and for weights that are missing or do not fit.
    """
    if task != "manipulation":
        raise InputError(f"agent 'diffusion' moves an arm (manipulation); it has nothing to do in {task!r}")
    path = Path(weights) if weights else shipped_policy_path()
    policy, _ = load_policy(path)
    config = ManipulatorConfig()
    settings = {
        "weights": policy_hash(path),
        "policy": asdict(policy.config),
        "rather": config.rather,
        "unseen": config.unseen,
    }
    return Agent(
        "diffusion", "learnt, small", PolicyProposer(policy), PolicyReviser(config), settings=settings
    )
