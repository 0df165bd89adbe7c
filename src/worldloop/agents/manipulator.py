"""The scripted agent of manipulation: an unsteady expert that proposes, and a reviser that reads imagined pictures.

The proposer sees things by colour and depth, knows a family's waypoints, and aims badly: every plan is off by an error
of its own, as a learnt policy's would be. Which plan comes first is chance. The reviser looks where the thing ends up
in each imagined picture and takes the plan that brings it nearest to where it should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldloop.agents.recognition import first_proposal, select
from worldloop.agents.table_sight import TableGoal, gap, locate, pixels_of, read_goal
from worldloop.core import Candidate, Decision, Situation
from worldloop.envs.tabletop.experts import phase
from worldloop.envs.tabletop.layout import HALF, STAND_HEIGHT


@dataclass(frozen=True)
class ManipulatorConfig:
    """How badly the proposer aims (standard deviations), and what the reviser takes for a difference."""

    pick: float = 0.032
    """Metres along the table, each way."""
    place: float = 0.032
    push: float = 0.055
    press: float = 0.052
    yaw_deg: float = 8.0
    rather: float = 0.006
    """Metres by which another plan must end nearer than the first."""
    unseen: float = 0.2
    """Metres that count for a thing that is not in the picture."""
    held: float = 0.12
    """Opening of the gripper (0..1) above which closed fingers hold something."""

    def aim(self, step: str) -> float:
        """Standard deviation for a phase such as `pick` or `press-0`, metres."""
        return float(getattr(self, step.split("-")[0]))


@dataclass
class _Progress:
    """What the agent is at: a phase and the next of its four waypoints."""

    step: str
    number: int
    places: dict[str, np.ndarray]


class _Planner:
    """Turns progress into waypoints."""

    def __init__(self, config: ManipulatorConfig) -> None:
        self.config = config

    def rows(
        self, situation: Situation, goal: TableGoal, progress: _Progress, number: int | None
    ) -> np.ndarray:
        """float64 [L,7]: the rest of the phase and what comes after it; aimed well when `number` is None."""
        rows: list[np.ndarray] = []
        step, at = progress.step, progress.number
        here = np.asarray(situation.observation.extra["gripper"], float)
        while len(rows) < situation.horizon:
            commands = self._aimed(situation, goal, progress, step, number)
            if step == progress.step and at > 0:
                commands = self._from_here(commands, step, at, here)
            rows += list(commands[at:])
            if step == "pick":
                step, at = "place", 0
            else:  # nothing more to do: stay
                rows += [rows[-1]] * situation.horizon
        return np.array(rows[: situation.horizon])

    def _aimed(
        self, situation: Situation, goal: TableGoal, progress: _Progress, step: str, number: int | None
    ) -> np.ndarray:
        """The expert's waypoints towards places that are off."""
        config, error, twist = self.config, np.zeros(2), 0.0
        if number is not None:
            rng = situation.draw("aim", number, step)
            error, twist = rng.normal(0, config.aim(step), 2), rng.normal(0, config.yaw_deg)
        aimed = (
            goal.things[int(step[-1])] if step.startswith("press") else goal.things[step in ("place", "push")]
        )
        places = dict(progress.places)
        places[aimed] = places[aimed] + np.array([*error, 0.0, 0.0])
        commands = phase(goal.family, step, goal.things, places)
        if step in ("pick", "place"):
            commands[:, 5] += twist
        return commands

    @staticmethod
    def _from_here(commands: np.ndarray, step: str, at: int, here: np.ndarray) -> np.ndarray:
        """Waypoints that open, close or rise do so where the hand is, not where this plan would have gone."""
        out = commands.copy()
        stay = {"pick": 2, "place": 2, "push": 3}.get(step, 2)
        if at >= stay:
            out[stay:, :2] = here[:2]
            out[stay:, 5] = here[5]
        if step in ("pick", "place") and at == 2:
            out[2, 2] = here[2]
        return out


class ManipulationProposer:
    """M plans of L waypoints: what is left of the present phase, then the next phase, each plan aimed anew."""

    def __init__(self, config: ManipulatorConfig) -> None:
        self.config, self.planner = config, _Planner(config)

    async def propose(self, situation: Situation) -> list[Candidate]:
        """All plans are equally likely to be good; nothing but real views, depth and the hand's own place is used."""
        goal = read_goal(situation.goal)
        progress = await situation.compute(self._progress, situation, goal)
        plans = [self.planner.rows(situation, goal, progress, m) for m in range(situation.rollouts)]
        details = {"phase": progress.step, "waypoint": progress.number}
        low, high = np.array(situation.vocabulary.low), np.array(situation.vocabulary.high)
        return [
            Candidate(situation.vocabulary.plan(np.clip(p, low, high)), prior=-float(m), details=details)
            for m, p in enumerate(plans)
        ]

    def _progress(self, situation: Situation, goal: TableGoal) -> _Progress:
        """Where the agent is in its work, after what was carried out since the last decision."""
        done = len(situation.actions)
        last: _Progress | None = situation.memory.get("progress")
        if last is None:
            now = _Progress(self._first(goal), 0, {})
        else:
            now = self._advanced(situation, goal, last, done - situation.memory["progress_at"])
        if now.number == 0:
            self._look(situation, goal, now)
        situation.memory["progress"], situation.memory["progress_at"] = now, done
        return now

    @staticmethod
    def _first(goal: TableGoal) -> str:
        return {"push": "push", "press": "press-0"}.get(goal.family, "pick")

    def _advanced(self, situation: Situation, goal: TableGoal, last: _Progress, carried: int) -> _Progress:
        step, number = last.step, last.number + carried
        opening = float(situation.observation.extra["gripper"][6])
        if step == "pick" and number >= 3 and opening < self.config.held:
            return _Progress("pick", 0, last.places)  # closed on nothing
        if step == "place" and number <= 2 and opening < self.config.held:
            return _Progress("pick", 0, last.places)  # lost on the way
        length = 3 if step.startswith("press") else 4
        if number < length:
            return _Progress(step, number, last.places)
        if step == "pick":
            return _Progress("place", (number - length) % 4, last.places)
        if step.startswith("press"):
            return _Progress(self._next_button(situation, goal), 0, last.places)
        return _Progress(self._first(goal), 0, last.places)

    @staticmethod
    def _next_button(situation: Situation, goal: TableGoal) -> str:
        """The first button in order that is still lit."""
        now, start = situation.observation.rgb, situation.history[0].rgb
        for i, name in enumerate(goal.things):
            if len(pixels_of(now, name)) > 0.25 * len(pixels_of(start, name)):
                return f"press-{i}"
        return "press-0"

    @staticmethod
    def _look(situation: Situation, goal: TableGoal, progress: _Progress) -> None:
        for i, name in enumerate(goal.things):
            fixed = name.split(" ")[1] not in ("block", "peg")
            # What does not move was seen best at the start, with the arm out of the way.
            view = situation.history[0] if fixed else situation.observation
            found = locate(view, name)
            if found is not None:
                progress.places[name] = found
            elif name not in progress.places:  # never seen: guess the middle of the table
                progress.places[name] = np.array([0.5, 0.1 * (2 * i - 1), 0.0, 0.0])


class ManipulationReviser:
    """Takes the plan whose last imagined picture shows the thing nearest to where it should be by then."""

    def __init__(self, config: ManipulatorConfig) -> None:
        self.config, self.planner = config, _Planner(config)

    async def revise(self, situation: Situation, candidates: Sequence[Candidate]) -> Decision:
        """Scores are minus metres (for buttons 1 when the right one went dark); the first plan without pictures."""
        if any(c.rollout is None for c in candidates):
            return first_proposal(candidates)
        goal, progress = read_goal(situation.goal), situation.memory["progress"]
        scores = await situation.compute(self._scores, situation, goal, progress, candidates)
        return select(candidates, scores, self.config.rather, "brings the thing nearer to its goal")

    def _scores(
        self, situation: Situation, goal: TableGoal, progress: _Progress, candidates: Sequence[Candidate]
    ) -> list[float]:
        return [round(self._score(situation, goal, progress, c), 4) for c in candidates]

    def _score(
        self, situation: Situation, goal: TableGoal, progress: _Progress, candidate: Candidate
    ) -> float:
        assert candidate.rollout is not None
        picture = candidate.rollout.frames[-1].rgb
        if progress.step.startswith("press"):
            return self._darkened(situation, goal, progress, picture)
        found = gap(picture, goal.things[0], self._wanted(situation, goal, progress))
        return -(self.config.unseen if found is None else min(found, self.config.unseen))

    def _wanted(self, situation: Situation, goal: TableGoal, progress: _Progress) -> np.ndarray:
        """float64 [3]: where the thing's middle should be in the end. The same for all plans: a picture in which
        nothing moves tells none of them from the others."""
        if progress.step == "pick":  # in the hand, wherever a well aimed plan brings it
            return self.planner.rows(situation, goal, progress, None)[-1, :3]
        height = {"stack": 2 * HALF, "pick-place": STAND_HEIGHT}.get(goal.family, 0.0)
        return progress.places[goal.things[1]][:3] + np.array([0.0, 0.0, height + HALF])

    @staticmethod
    def _darkened(situation: Situation, goal: TableGoal, progress: _Progress, picture: np.ndarray) -> float:
        """A pressed button goes dark: 1 for the right one, -2 for another one of the goal."""
        score = 0.0
        for i, name in enumerate(goal.things):
            before, after = len(pixels_of(situation.observation.rgb, name)), len(pixels_of(picture, name))
            dark = before >= 5 and after < 0.25 * before
            score += dark * (1.0 if progress.step == f"press-{i}" else -2.0)
        return score
