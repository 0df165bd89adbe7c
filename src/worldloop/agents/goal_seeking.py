"""Finding the place where a picture was taken: proposer and reviser of image-goal navigation.

Both judge a view by its perceptual distance to the goal picture. The proposer knows real views alone: it
looks around, turns to where the goal looked most familiar, and walks there. The reviser looks at imagined
views of the proposed plans.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from worldloop.actions import intended_path
from worldloop.agents.foresight import Foresight, ForesightConfig
from worldloop.agents.motion import all_plans
from worldloop.agents.odometry import Pose, headings_seen, odometry, turn_to
from worldloop.agents.perception.images import resize
from worldloop.agents.perception.service import Perception
from worldloop.agents.recognition import first_proposal, select
from worldloop.core import Candidate, Decision, InputError, Situation


@dataclass(frozen=True)
class GoalConfig:
    """Constants of the goal seeker, chosen on validation scenes."""

    stop_below: float = 0.12
    """Perceptual distance at which a real view counts as the goal itself."""
    peak_below: float = 0.18
    """Below this the agent also stops when no imagined view comes closer."""
    found_below: float = 0.20
    """A view this close ends the looking around."""
    look_around: float = 1.5
    """Metres; headings looked at from within them of here count as looked at from here."""
    same_place: float = 0.25
    """Metres; a view from this near, whichever way it looks, is a view from here."""
    size: int = 64
    """Side in pixels at which views are compared: coarse enough to be quick and to forgive a step."""
    stride: int = 2
    """Of the imagined frames every n-th is judged, counted from the last one."""
    revisit: float = 0.04
    """Added to the distance of an imagined view for each time the agent has really been there."""
    blame: float = 0.03
    """Added to the distance of a view for each step that was blocked on the way it shows."""
    return_with: int = 6
    """Decisions left when the agent heads back to the best place it has found."""
    rather: float = 0.01
    """By how much another plan must look closer than the first proposal."""
    aside: float = 0.12
    """Metres to the side from which a plan counts as one to the left or right."""
    caution: float = 1.0
    """How many times its proven error an imagined difference must exceed to count."""
    foresight: ForesightConfig = field(default_factory=ForesightConfig)


class GoalViews:
    """Distances of views to the goal picture; each real view is judged once."""

    def __init__(self, perception: Perception, config: GoalConfig | None = None) -> None:
        self.perception, self.config = perception, config or GoalConfig()

    async def real(self, situation: Situation) -> list[float]:
        """The distance of every real view so far."""
        known: list[float] = situation.memory.setdefault("goal_distances", [])
        new = [o.rgb for o in situation.history[len(known) :]]
        if new:
            known.extend(await self.distances(situation, new))
        return known

    async def distances(self, situation: Situation, images: Sequence[np.ndarray]) -> list[float]:
        """Perceptual distances of images to the goal picture, rounded to 1e-6."""
        if situation.goal.image is None:
            raise InputError("this agent needs a goal picture; use it with image-goal")
        found = await situation.compute(self._compare, list(images), situation.goal.image)
        return [round(float(d), 6) for d in found]

    def _compare(self, images: list[np.ndarray], goal: np.ndarray) -> np.ndarray:
        """Mean of two distances that fail differently: ST-LPIPS knows the layout of a picture from near the
        goal, the angle between ImageNet features what is in it, from farther away."""
        small = [resize(i, self.config.size) for i in images]
        layout = self.perception.stlpips(small, resize(goal, self.config.size))
        features = self.perception.features([*images, goal])
        features = features / np.linalg.norm(features, axis=1, keepdims=True)
        return 0.5 * layout + 0.5 * (1.0 - (features[:-1] * features[-1]).sum(axis=1))


class GoalProposer:
    """Look around, turn to where the goal looked most familiar, and walk there.

    Every plan ends facing that way: one leads straight on, one passes to the left and one to the right.
    """

    def __init__(self, views: GoalViews) -> None:
        self.views = views

    async def propose(self, situation: Situation) -> list[Candidate]:
        """M plans, the preferred one first; nothing but real views and dead reckoning is used."""
        distances = await self.views.real(situation)
        poses = odometry(situation)
        plans, paths = all_plans(situation.vocabulary, situation.horizon)
        if self._looking_around(situation, distances, poses):
            values = self._turning(paths)
        else:
            values = self._walking(situation, distances, poses, paths)
        obstacles = _blocked_steps(situation, poses, paths)
        values = [v - 2.0 * obstacles for v in values]
        chosen: list[int] = []
        while len(chosen) < min(situation.rollouts, len(plans)):
            for value in values:
                order = np.argsort(-value, kind="stable")
                best = next((int(i) for i in order if i not in chosen), None)
                if best is not None and len(chosen) < situation.rollouts:
                    chosen.append(best)
        return [Candidate(plans[i], prior=-float(n)) for n, i in enumerate(chosen)]

    def _looking_around(self, situation: Situation, distances: list[float], poses: list[Pose]) -> bool:
        if not situation.memory.get("looked_around"):
            # From here, not from the start: an imagined view may have led away from it.
            seen = headings_seen(poses, poses[-1], self.views.config.look_around)
            situation.memory["looked_around"] = bool(
                seen.all() or min(distances) < self.views.config.found_below
            )
        return not situation.memory["looked_around"]

    @staticmethod
    def _turning(paths: np.ndarray) -> list[np.ndarray]:
        """Values of all plans for: turn left, turn right, walk ahead."""
        end = paths[:, -1]
        return [end[:, 2], -end[:, 2], end[:, 0]]

    def _walking(
        self, situation: Situation, distances: list[float], poses: list[Pose], paths: np.ndarray
    ) -> list[np.ndarray]:
        """Values of all plans for: straight on, to the left, to the right, each along the familiar heading."""
        end, best = paths[:, -1], poses[int(np.argmin(distances))]
        if self._going_back(situation, best, poses[-1]):
            gap = np.hypot(*(end[:, :2] - _seen_from(poses[-1], best)).T)
            return [-gap - 0.2 * aside * np.sign(end[:, 2]) for aside in (0, 1, -1)]
        turn = turn_to(self._promising(situation, distances, poses)[2], poses[-1][2])
        if abs(turn) > 60:  # first of all turn round
            return [-_off(end[:, 2], turn + aside) / 22.5 + end[:, 0] for aside in (0.0, 67.5, -67.5)]
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        ahead, left = c * end[:, 0] + s * end[:, 1], c * end[:, 1] - s * end[:, 0]
        # Plans that walk before they turn go the wrong way first.
        late = _off(paths[:, 1:, 2], turn).mean(axis=1) / 180
        aside, base = self.views.config.aside, ahead - _off(end[:, 2], turn) / 22.5 - late
        values = [
            base - 3 * np.abs(left),
            base - 9.0 * (left < aside) - 0.3 * left,
            base - 9.0 * (left > -aside) + 0.3 * left,
        ]
        span = min(situation.execute, len(distances) - 1)
        blocked = any(bool(o.extra.get("collided", False)) for o in situation.history[-1 - span :])
        if blocked or distances[-1] > distances[-1 - span] + 0.02:
            sides = [1, 2] if situation.draw("side").random() < 0.5 else [2, 1]
            return [values[sides[0]], values[sides[1]], values[0]]
        return values

    def _promising(self, situation: Situation, distances: list[float], poses: list[Pose]) -> Pose:
        """The view to follow: the closest one, unless walking its way was blocked again and again."""
        views = np.array(poses)
        blame = np.zeros(len(views))
        for i, seen in enumerate(situation.history[1:]):
            if bool(seen.extra.get("collided", False)):
                near = np.hypot(views[:, 0] - poses[i][0], views[:, 1] - poses[i][1]) < 1.0
                blame += near & (_off(views[:, 2], poses[i][2]) < 34)
        return poses[int(np.argmin(np.array(distances) + self.views.config.blame * blame))]

    def _going_back(self, situation: Situation, best: Pose, here: Pose) -> bool:
        """Whether the budget runs out and the best place so far is elsewhere."""
        left = situation.budget - situation.decision
        return left <= self.views.config.return_with and np.hypot(best[0] - here[0], best[1] - here[1]) > 0.2


class GoalReviser:
    """Stops where the real view is the goal; otherwise takes the plan whose new views come closest to it."""

    def __init__(self, views: GoalViews) -> None:
        self.views = views

    async def revise(self, situation: Situation, candidates: Sequence[Candidate]) -> Decision:
        """Stop, the best imagined plan, or the first proposal when nothing is imagined."""
        config, distances, poses = self.views.config, await self.views.real(situation), odometry(situation)
        nothing = tuple(None for _ in candidates)
        foresight = Foresight(situation, config.foresight)
        foresight.check(situation.actions, distances)
        if min(d for d, p in zip(distances, poses) if self._here(p, poses[-1])) < config.stop_below:
            return Decision((), None, nothing, "this looks like the goal", stop=True)
        best = poses[int(np.argmin(distances))]
        back = situation.budget - situation.decision <= config.return_with and self._here(best, poses[-1])
        if situation.decision == situation.budget - 1 or (back and min(distances) < 2 * config.stop_below):
            return Decision((), None, nothing, "the budget is used up", stop=True)
        if any(c.rollout is None for c in candidates):
            return first_proposal(candidates)
        visits = Counter(map(_cell, poses))
        looked = [self._looked(situation, c, poses[-1]) for c in candidates]
        found = iter(await self.views.distances(situation, [v.rgb for views in looked for v in views]))
        imagined = [
            {v.number: (next(found), float(np.hypot(*np.subtract(v.place, poses[-1])[:2]))) for v in views}
            for views in looked
        ]
        foresight.predict(len(situation.actions), candidates, imagined)
        doubt = config.caution * foresight.error
        judged = []
        for views, apart in zip(looked, imagined):
            believed = [
                foresight.believed(apart[v.number][0], distances[-1], apart[v.number][1]) for v in views
            ]
            judged.append(self._judge(poses[-1], views, believed, visits, doubt))
        scores = tuple(j.score for j in judged)
        margin = config.rather + doubt
        if min(j.here for j in judged) + doubt < config.stop_below:
            return Decision((), None, scores, "one turn further it would look like the goal", stop=True)
        if distances[-1] < config.peak_below and max(scores) < -distances[-1] - margin:
            return Decision((), None, scores, "no plan comes closer than this", stop=True)
        decision = select(candidates, scores, margin, "comes closest to the goal picture")
        # Past its best view, a plan is of no interest.
        upto = judged[decision.chosen or 0].best + 1
        return replace(decision, actions=decision.actions[:upto])

    def _here(self, pose: tuple[float, ...], here: Pose) -> bool:
        return float(np.hypot(pose[0] - here[0], pose[1] - here[1])) <= self.views.config.same_place

    def _looked(self, situation: Situation, candidate: Candidate, here: Pose) -> list[_View]:
        """The imagined frames that are judged, from the last one on; what looks like now is taken to be here."""
        frames, out = candidate.rollout.frames if candidate.rollout else (), []
        path = intended_path(candidate.plan, *here)[1:]
        for i in range(len(frames))[:: -self.views.config.stride]:
            stuck = np.array_equal(frames[i].rgb, situation.observation.rgb)
            out.append(_View(i, frames[i].rgb, here if stuck else tuple(path[i])))
        return out

    def _judge(
        self,
        here: Pose,
        views: Sequence[_View],
        believed: Sequence[float],
        visits: Counter[tuple[int, int, int]],
        doubt: float,
    ) -> Judged:
        """The plan's best view, where places visited before count as farther from the goal.

        Without that, the agent turns to and fro between two views that it has already seen. A later view counts as
        the best where no earlier one looks closer by more than the doubt.
        """
        revisit = self.views.config.revisit
        worth = [(d + revisit * visits[_cell(v.place)], v.number) for v, d in zip(views, believed)]
        nearest = min((d for v, d in zip(views, believed) if self._here(v.place, here)), default=1.0)
        value = min(worth)[0]
        best = next(number for d, number in worth if d <= value + doubt)
        return Judged(-value, best, min(nearest, 1.0))


class _View(NamedTuple):
    """An imagined view."""

    number: int
    """Of the frame, from 0."""
    rgb: np.ndarray
    place: tuple[float, ...]
    """x m, y m, yaw deg."""


@dataclass(frozen=True)
class Judged:
    """What the reviser thinks of a candidate."""

    score: float
    best: int
    """Index of the view that comes closest to the goal picture."""
    here: float
    """Smallest distance among the views from the present place."""


def _seen_from(here: Pose, place: tuple[float, ...]) -> np.ndarray:
    """A place [2] in the frame of a pose: metres ahead and to the left."""
    c, s = np.cos(np.radians(here[2])), np.sin(np.radians(here[2]))
    dx, dy = place[0] - here[0], place[1] - here[1]
    return np.array([c * dx + s * dy, c * dy - s * dx])


def _off(yaw: np.ndarray, wanted: float) -> np.ndarray:
    """Degrees, 0 to 180, between headings and a wanted one."""
    return np.abs((yaw - wanted + 180) % 360 - 180)


def _cell(pose: tuple[float, ...]) -> tuple[int, int, int]:
    """Places within a step and headings within a turn fall into one cell."""
    return round(pose[0] / 0.15), round(pose[1] / 0.15), round(pose[2] / 22.5) % 16


def _blocked_steps(situation: Situation, poses: list[Pose], paths: np.ndarray) -> np.ndarray:
    """float64 [P]: for each plan, how many of its steps were found to be blocked before."""
    here = poses[-1]
    c, s = np.cos(np.radians(here[2])), np.sin(np.radians(here[2]))
    x, y = here[0] + c * paths[..., 0] - s * paths[..., 1], here[1] + s * paths[..., 0] + c * paths[..., 1]
    walks = np.linalg.norm(np.diff(paths[..., :2], axis=1), axis=2) > 0
    count = np.zeros(len(paths))
    for i, seen in enumerate(situation.history[1:]):
        if bool(seen.extra.get("collided", False)):
            bx, by, heading = poses[i]
            near = (np.hypot(x[:, :-1] - bx, y[:, :-1] - by) < 0.25) & (
                _off(paths[:, :-1, 2] + here[2], heading) < 12
            )
            count += (near & walks).any(axis=1)
    return count
