"""Camera controls: the path of poses that a plan intends, and NWM-style deltas between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldloop.actions.control import Control
from worldloop.actions.navigation import NAVIGATION, camera_matrix, intended_path
from worldloop.core import Plan, Vocabulary
from worldloop.core.errors import InputError


@dataclass(frozen=True)
class CameraTranslator:
    """Plans of named primitives <-> paths of L+1 floor poses (x m, y m, yaw deg), the start pose first."""

    vocabulary: Vocabulary = NAVIGATION
    kind: str = "camera"

    def encode(self, plan: Plan, start: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Control:
        """The path of a plan from a start pose."""
        return Control("camera", intended_path(plan, *start))

    def decode(self, control: Control | np.ndarray, tolerance: float = 1e-6) -> Plan:
        """The plan whose primitives produce the path; InputError if a leg matches none of them."""
        value = control.value if isinstance(control, Control) else control
        path = np.asarray(value, dtype=float)
        if path.ndim != 2 or path.shape[1] != 3 or len(path) < 2 or not np.isfinite(path).all():
            raise InputError(f"a camera path is [L+1, 3] of finite numbers with L >= 1, got {path.shape}")
        names = []
        for leg, (dx, dy, dyaw) in enumerate(relative_motion(path)):
            for p in self.vocabulary.primitives:
                c, s = np.cos(np.radians(p.yaw_deg)), np.sin(np.radians(p.yaw_deg))
                ends = (c * p.forward - s * p.left, s * p.forward + c * p.left, p.yaw_deg)
                if np.allclose((dx, dy, dyaw), ends, atol=max(tolerance, 1e-12), rtol=0):
                    names.append(p.name)
                    break
            else:
                raise InputError(f"leg {leg} moves ({dx:.3f} m, {dy:.3f} m, {dyaw:.2f} deg): no such action")
        return self.vocabulary.plan(names)


def relative_motion(path: np.ndarray) -> np.ndarray:
    """float64 [L,3] of a path [L+1,3]: each leg's forward m, left m and turn deg in its own start frame."""
    step = np.diff(path, axis=0)
    c, s = np.cos(np.radians(path[:-1, 2])), np.sin(np.radians(path[:-1, 2]))
    return np.stack([c * step[:, 0] + s * step[:, 1], -s * step[:, 0] + c * step[:, 1], step[:, 2]], axis=1)


def path_matrices(path: np.ndarray, height: float) -> np.ndarray:
    """float64 [L+1,4,4] camera-to-world matrices of a floor path at a camera height in metres."""
    return np.stack([camera_matrix(x, y, height, yaw) for x, y, yaw in path])


@dataclass(frozen=True)
class DeltaTranslator:
    """Plans -> (dx, dy, dyaw) deltas in the frame of each leg's start, divided by per-axis scales.

    NWM (Navigation World Models) takes metres and radians over dataset-specific scales; the default
    scales are 1. Bijective for a given vocabulary.
    """

    vocabulary: Vocabulary = NAVIGATION
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    kind: str = "vector"

    def __post_init__(self) -> None:
        if len(self.scale) != 3 or not all(np.isfinite(s) and s > 0 for s in self.scale):
            raise InputError(f"delta scales are three positive numbers, got {self.scale}")

    def encode(self, plan: Plan) -> Control:
        """float64 [L,3]: forward m, left m and turn rad, each over its scale."""
        delta = relative_motion(intended_path(plan))
        delta[:, 2] = np.radians(delta[:, 2])
        return Control("vector", delta / np.asarray(self.scale))

    def decode(self, control: Control) -> Plan:
        """The plan behind the deltas."""
        delta = np.asarray(control.value, dtype=float)
        if delta.ndim != 2 or delta.shape[1] != 3 or not len(delta) or not np.isfinite(delta).all():
            raise InputError(f"deltas are [L, 3] of finite numbers with L >= 1, got {delta.shape}")
        path = np.zeros((len(delta) + 1, 3))
        for i, (dx, dy, dyaw) in enumerate(delta * np.asarray(self.scale)):
            c, s = np.cos(np.radians(path[i, 2])), np.sin(np.radians(path[i, 2]))
            path[i + 1] = path[i] + (c * dx - s * dy, s * dx + c * dy, np.degrees(dyaw))
        return CameraTranslator(self.vocabulary).decode(path)
