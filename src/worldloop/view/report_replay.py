"""Episodes to look at: what was seen, imagined, chosen and what then came, decision by decision."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow.compute as pc
from markupsafe import Markup

from worldloop.runs import CandidateRecord, DecisionRecord, Entry, EpisodeRecord, Run
from worldloop.view.report_paths import path_bounds, path_plot
from worldloop.view.report_pictures import Picture, Pictures
from worldloop.view.report_text import CONTROLS

SYMBOLS = {
    "move_forward": ("↑", "forward"),
    "move_backward": ("↓", "back"),
    "move_left": ("←", "step left"),
    "move_right": ("→", "step right"),
    "turn_left": ("↶", "turn left"),
    "turn_right": ("↷", "turn right"),
    "stop": ("■", "stop"),
}
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Step:
    """One action as an arrow and in words."""

    symbol: str
    """Empty for an action that has no arrow; its words are shown then."""
    words: str


@dataclass(frozen=True)
class Shot:
    """A picture with the target's box, if it has one, in pixels of the picture."""

    picture: Picture
    alt: str
    box: Box | None = None


@dataclass(frozen=True)
class Option:
    """One candidate of a decision."""

    number: int
    """From 1."""
    steps: list[Step]
    score: str
    chosen: bool
    simulated: bool
    shots: list[Shot]


@dataclass(frozen=True)
class Turn:
    """One decision."""

    number: int
    """From 1."""
    view: Shot | None
    options: list[Option]
    done: list[Step]
    reason: str
    stop: bool
    answer: str | None
    confidence: float | None
    expected: Shot | None
    """What the chosen plan promised for the moment of the next decision."""
    came: Shot | None
    """What was really seen then."""


@dataclass(frozen=True)
class Play:
    """One model's way through an episode."""

    label: str
    model: str
    """The model's name, where the label has its settings too."""
    record: EpisodeRecord
    turns: list[Turn]
    path: Markup


@dataclass(frozen=True)
class Replay:
    """One episode with every model that has pictures of it."""

    task: str
    episode_id: str
    scene: str
    goal_text: str
    goal: Shot | None
    plays: list[Play]
    accepted: list[str]
    """Answers that count as right, for tasks that ask a question."""

    @property
    def first(self) -> int:
        """Position of the play to show first: of a model in question, if it has one."""
        return next((i for i, p in enumerate(self.plays) if p.model not in CONTROLS), 0)

    @property
    def length(self) -> int:
        """Decisions of the longest play."""
        return max(len(p.turns) for p in self.plays)

    def steps(self) -> Iterator[Step]:
        """Every action of every plan."""
        for turn in (t for p in self.plays for t in p.turns):
            for option in turn.options:
                yield from option.steps
            yield from turn.done

    def pictures(self) -> Iterator[Picture]:
        """Every picture that is shown, with repetitions, in the order of the page."""
        if self.goal is not None:
            yield self.goal.picture
        for turn in (t for p in self.plays for t in p.turns):
            shots = [turn.view, *(s for o in turn.options for s in o.shots), turn.expected, turn.came]
            yield from (s.picture for s in shots if s is not None)


def pick_episodes(runs: Sequence[Run], count: int) -> list[str]:
    """Ids of up to `count` episodes with stored frames, the most telling first.

    Those that most runs have frames of come first, then those on which the runs differ in success, then
    the order of the episode list.
    """
    frames: dict[str, int] = {}
    outcomes: dict[str, set[bool]] = {}
    for run in runs:
        seen = run.decisions.filter(pc.not_equal(run.decisions["frame"], ""))["episode_id"]
        for episode in pc.unique(seen).to_pylist():
            frames[episode] = frames.get(episode, 0) + 1
        for episode, success in zip(*(run.episodes[c].to_pylist() for c in ("episode_id", "success"))):
            outcomes.setdefault(episode, set()).add(success)
    ids = [i for i in runs[0].header.episode_ids if i in frames]
    ids.sort(key=lambda i: (-frames[i], -len(outcomes[i])))
    return ids[:count]


def make_replay(
    task: str, episode_id: str, runs: Sequence[tuple[str, Run]], pictures: Pictures
) -> Replay | None:
    """The replay of one episode; None when no run, given with its label, has a picture of it.

    Raises RunFolderError when the records or frames of the episode are damaged.
    """
    entries = [(label, run, _entry(run, episode_id)) for label, run in runs]
    # Without a pose every place is the origin; such an episode has no path to draw.
    places = [[(*d.position, d.yaw_deg) for d in e.decisions] for _, _, e in entries if e is not None]
    bounds = path_bounds([p for path in places for p in path])
    plays, goal_text, goal = [], "", None
    accepted: list[str] = []
    for label, run, entry in entries:
        if entry is None:
            continue
        turns = _turns(run, entry, pictures)
        if not any(t.view for t in turns):
            continue
        path = Markup("")
        if bounds is not None:
            own = [(*d.position, d.yaw_deg) for d in entry.decisions]
            path = path_plot(own, bounds, f"Path of {label} seen from above, {len(own)} decisions")
        plays.append(Play(label, str(run.header.spec.get("model", "")), entry.episode, turns, path))
        details = _details(min(entry.decisions, key=lambda d: d.decision).details_json)
        goal_text = goal_text or _text(details.get("goal_text"))
        accepted = accepted or _texts(details.get("accepted"))
        goal = goal or _shot(run, _text(details.get("goal_frame")), pictures, "the goal picture")
    if not plays:
        return None
    return Replay(task, episode_id, plays[0].record.scene, goal_text, goal, plays, accepted)


def _entry(run: Run, episode_id: str) -> Entry | None:
    def own(table: Any) -> Any:
        return table.filter(pc.equal(table["episode_id"], episode_id))

    part = replace(
        run, episodes=own(run.episodes), decisions=own(run.decisions), candidates=own(run.candidates)
    )
    return next(iter(part.records()), None)


def _turns(run: Run, entry: Entry, pictures: Pictures) -> list[Turn]:
    decisions = sorted(entry.decisions, key=lambda d: d.decision)
    views = [_view(run, d, pictures) for d in decisions]
    turns = []
    for i, d in enumerate(decisions):
        candidates = sorted(
            (c for c in entry.candidates if c.decision == d.decision), key=lambda c: c.candidate
        )
        options = [_option(run, c, pictures) for c in candidates]
        came = views[i + 1] if i + 1 < len(views) else None
        turns.append(
            Turn(
                number=i + 1,
                view=views[i],
                options=options,
                done=[step(a) for a in d.actions],
                reason=d.reason,
                stop=d.stop,
                answer=d.answer,
                confidence=d.confidence,
                expected=_expected(d, candidates, options),
                came=came,
            )
        )
    return turns


def _expected(
    decision: DecisionRecord, candidates: Sequence[CandidateRecord], options: Sequence[Option]
) -> Shot | None:
    """The chosen plan's imagined frame after the actions that were really carried out."""
    done = len(decision.actions)
    for candidate, option in zip(candidates, options):
        if candidate.chosen and 0 < done <= len(option.shots) and candidate.plan[:done] == decision.actions:
            return option.shots[done - 1]
    return None


def _view(run: Run, decision: DecisionRecord, pictures: Pictures) -> Shot | None:
    box = _details(decision.details_json).get("box")
    return _shot(run, decision.frame, pictures, f"real view at decision {decision.decision + 1}", box)


def _option(run: Run, candidate: CandidateRecord, pictures: Pictures) -> Option:
    steps = [step(a) for a in candidate.plan]
    boxes = _details(candidate.details_json).get("boxes")
    boxes = boxes if isinstance(boxes, list) else []
    shots = []
    for i, key in enumerate(candidate.frames):
        words = steps[i].words if i < len(steps) else "the plan"
        alt = f"plan {candidate.candidate + 1}, imagined after step {i + 1} ({words})"
        shot = _shot(run, key, pictures, alt, boxes[i] if i < len(boxes) else None)
        shots += [shot] if shot else []
    return Option(
        number=candidate.candidate + 1,
        steps=steps,
        score=_score(candidate.score),
        chosen=candidate.chosen,
        simulated=candidate.simulated,
        shots=shots,
    )


def _shot(run: Run, key: str, pictures: Pictures, alt: str, box: Any = None) -> Shot | None:
    picture = pictures.find(run, key)
    return None if picture is None else Shot(picture, alt, _box(box, picture))


def _box(box: Any, picture: Picture) -> Box | None:
    """A box that can be drawn, cut to the picture; None for anything else a run folder may hold."""
    if not isinstance(box, list) or len(box) != 4:
        return None
    if not all(isinstance(v, int | float) and -1e9 < v < 1e9 for v in box):
        return None
    x0, x1 = (min(max(float(v), 0.0), picture.width) for v in box[::2])
    y0, y1 = (min(max(float(v), 0.0), picture.height) for v in box[1::2])
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def step(action: str) -> Step:
    """The arrow and the words of an action; of a vector its numbers, to three digits."""
    vector = re.fullmatch(r"[\w-]+\(([^()]*)\)", action)
    if vector is not None:
        try:
            numbers = [float(v) for v in vector[1].split(",")]
        except ValueError:
            return Step("", action)
        return Step("", "  ".join(f"{v:.3g}".replace("-", "−") for v in numbers))
    symbol, words = SYMBOLS.get(action, ("", action))
    return Step(symbol, words)


def _score(score: float | None) -> str:
    if score is None:
        return ""
    form = "{:.3f}" if abs(score) < 100 else "{:.0f}" if abs(score) < 1e6 else "{:.3g}"
    return form.format(score).replace("-", "−").replace("inf", "∞")


def _details(text: str) -> dict[str, Any]:
    """A details column as a dictionary; anything else than a JSON object counts as empty."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []
