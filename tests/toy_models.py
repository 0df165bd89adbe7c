"""Tiny world models, each with a control language of its own; named on the command line as `toy_models.Told`."""

from __future__ import annotations

import re

import numpy as np

from worldloop.actions import CameraTranslator, TextTranslator
from worldloop.core import ModelCard, Observation, Rollout


def slid(now: Observation, yaw_deg: float, ahead: float) -> Observation:
    """The view turned and brightened by what was walked."""
    rgb = np.roll(now.rgb, round(yaw_deg / now.hfov_deg * now.rgb.shape[1]), axis=1)
    rgb = np.clip(rgb + 20.0 * ahead, 0, 255).astype(np.uint8)
    return Observation(rgb, hfov_deg=now.hfov_deg)


class Told:
    """Reads English and nothing else of a plan."""

    card = ModelCard("told", "a toy that is told in words", "text")

    def simulate(self, queries):
        return [
            self.one(q.history[-1], TextTranslator(q.plan.vocabulary).encode(q.plan).value) for q in queries
        ]

    def one(self, now, text):
        frames = []
        for sentence in re.split(r"\.\s+", text.removesuffix(".")):
            turn = re.search(r"rotates (left|right) by ([\d.]+)", sentence)
            walk = re.search(r"moves forward by ([\d.]+)", sentence)
            yaw = 0.0 if turn is None else float(turn[2]) * (1 if turn[1] == "left" else -1)
            now = slid(now, yaw, 0.0 if walk is None else float(walk[1]))
            frames.append(now)
        return Rollout(tuple(frames))


class Flown:
    """Flies along a path of poses, and remembers how much it has seen."""

    card = ModelCard("flown", "a toy that follows camera poses", "camera", history=3)
    seen: list[tuple[int, int]]
    """Observations and actions of the history of each query."""

    def __init__(self) -> None:
        self.seen = []

    def simulate(self, queries):
        out = []
        for q in queries:
            self.seen.append((len(q.history), len(q.actions)))
            path = CameraTranslator(q.plan.vocabulary).encode(q.plan).value
            frames = [slid(q.history[-1], yaw, float(np.hypot(x, y))) for x, y, yaw in path[1:]]
            out.append(Rollout(tuple(frames)))
        return out
