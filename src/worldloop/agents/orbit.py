"""Looking at a marked object from better places: the proposer of active recognition."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from worldloop.actions import intended_path
from worldloop.agents.motion import all_plans, bearing, first_moves, pixel_bearing
from worldloop.core import Candidate, Situation


@dataclass(frozen=True)
class OrbitConfig:
    """How views are preferred."""

    camera_height: float = 1.25
    """Metres; with the lower edge of the box it tells how far the object stands."""
    nearest: float = 0.8
    """Metres; the object is not approached beyond this."""
    keep_deg: float = 34.0
    """The object should stay within this bearing at the end of a plan."""
    approach_weight: float = 0.6


class OrbitProposer:
    """Plans that walk around the object, alternately to the left and to the right, and towards it.

    The object's place is guessed from its box alone (bearing, and the lower edge on the floor); while it is
    out of view, the guess is carried along by dead reckoning. The first proposal keeps the side that was
    drawn at the start, so that an agent without a world model walks on instead of dithering.
    """

    def __init__(self, config: OrbitConfig | None = None) -> None:
        self.config = config or OrbitConfig()

    async def propose(self, situation: Situation) -> list[Candidate]:
        """M plans: left, right, straight, then further ones of each kind."""
        target = self._locate(situation)
        plans, paths = all_plans(situation.vocabulary, situation.horizon)
        side, blocked = self._side(situation), bool(situation.observation.extra.get("collided", False))
        values = self._values(paths, target)
        first = first_moves(situation.vocabulary, situation.horizon)
        if blocked:
            values -= 2.0 * (first[:, 0] > 0)
        elif situation.actions:
            # Turning back at once is how an agent that looks one action ahead stands still.
            last = situation.vocabulary.primitive(situation.actions[-1])
            values -= 2.0 * (first[:, 1] * last.yaw_deg < 0)
        kinds = [0, 1, 2] if side > 0 else [1, 0, 2]
        ranked = [list(np.argsort(-values[k], kind="stable")) for k in range(3)]
        chosen: list[int] = []
        while len(chosen) < min(situation.rollouts, len(plans)):
            for kind in kinds:
                best = next((i for i in ranked[kind] if i not in chosen), None)
                if best is not None and len(chosen) < situation.rollouts:
                    chosen.append(int(best))
        firsts = [plans[i].actions[: situation.execute] for i in chosen[:2]]
        situation.memory["orbit"] = len(situation.actions), firsts
        return [Candidate(plans[i], prior=-float(n)) for n, i in enumerate(chosen)]

    def _values(self, paths: np.ndarray, target: np.ndarray) -> np.ndarray:
        """[3,P]: how well each plan goes left around, right around and straight towards the target."""
        c = self.config
        gone = paths[:, -1, :2] - target
        distance = np.hypot(*gone.T)
        away = math.atan2(-target[1], -target[0])
        orbit = np.degrees((np.arctan2(gone[:, 1], gone[:, 0]) - away + np.pi) % (2 * np.pi) - np.pi)
        closer = np.minimum(np.hypot(*target) - np.maximum(distance, c.nearest), 1.0)
        lost = np.maximum(np.abs(bearing(paths[:, -1], target)) - c.keep_deg, 0) / 20
        tight = np.maximum(c.nearest - distance, 0) * 4
        common = c.approach_weight * closer - lost - tight
        # Seen from above, walking to the agent's own right makes the angle around the target grow.
        return np.stack([common - orbit / 25, common + orbit / 25, 2 * common - np.abs(orbit) / 50])

    def _locate(self, situation: Situation) -> np.ndarray:
        """The object's guessed place [2] in the frame of the present pose (x ahead, y left, metres)."""
        now, memory = situation.observation, situation.memory
        box = now.extra.get("target_box")
        if box is not None:
            rows, columns = now.rgb.shape[:2]
            focal = columns / 2 / math.tan(math.radians(now.hfov_deg) / 2)
            angle = math.radians(pixel_bearing(float(box[0] + box[2]) / 2, columns, now.hfov_deg))
            drop = float(box[3]) - rows / 2
            ahead = self.config.camera_height * focal / drop if drop > 2 and box[3] < rows - 1 else 2.0
            if box[3] >= rows - 1:
                ahead = 1.0
            place = np.array([1.0, math.tan(angle)]) * np.clip(ahead, 0.6, 4.0)
        else:
            place = np.array([1.5, 0.0])
            if "target" in memory:
                place = self._carried(situation, *memory["target"])
        memory["target"] = len(situation.actions), place
        return place

    def _carried(self, situation: Situation, since: int, place: np.ndarray) -> np.ndarray:
        """The remembered place in the present frame, after the actions that were not blocked."""
        done = [
            a
            for a, o in zip(situation.actions[since:], situation.history[since + 1 :])
            if not bool(o.extra.get("collided", False))
        ]
        if not done:
            return place
        x, y, yaw = intended_path(situation.vocabulary.plan(done))[-1]
        c, s = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
        dx, dy = place[0] - x, place[1] - y
        return np.array([c * dx + s * dy, c * dy - s * dx])

    @staticmethod
    def _side(situation: Situation) -> int:
        """1 for left, -1 for right: drawn once, then whichever side was last really taken."""
        memory = situation.memory
        if "side" not in memory:
            memory["side"] = 1 if situation.draw("side").random() < 0.5 else -1
        if "orbit" in memory:
            since, (kept, *changed) = memory["orbit"]
            done = tuple(situation.actions[since:])
            if changed and done == changed[0] and done != kept:
                memory["side"] = -memory["side"]
        return int(memory["side"])
