"""7-DoF gripper commands: (x, y, z, roll, pitch, yaw, grip) in metres and degrees, and their two encodings.

A language model emits seven integers (World-In-World): 100 bins over the scene bounds for x, y and z, units
of 3 degrees for the angles, 0 or 1 for the grip. Action-conditioned models take a dense 10-D form:
xyz, the first two columns of the rotation matrix (rot6d, Zhou et al. 2019) and the grip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from worldloop.actions.control import Control
from worldloop.core import Plan, Vocabulary
from worldloop.core.errors import InputError

FIELDS = ("x", "y", "z", "roll", "pitch", "yaw", "grip")


def gripper_vocabulary(
    lower: tuple[float, float, float] = (0.2, -0.5, 0.0),
    upper: tuple[float, float, float] = (0.8, 0.5, 0.6),
    tilt_deg: float = 180.0,
    yaw_deg: float = 180.0,
    name: str = "gripper",
) -> Vocabulary:
    """The box of absolute gripper commands within scene bounds (metres); grip 0 is closed, 1 is open.

    Roll and pitch lie within +-tilt_deg, yaw within +-yaw_deg.
    """
    if not all(a < b for a, b in zip(lower, upper)):
        raise InputError(f"scene bounds are upside down: {lower} to {upper}")
    if not (0 < tilt_deg <= 180 and 0 < yaw_deg <= 180):
        raise InputError(f"angles are bounded by 0 to 180 degrees, got {tilt_deg} and {yaw_deg}")
    return Vocabulary(
        name,
        fields=FIELDS,
        low=(*lower, -tilt_deg, -tilt_deg, -yaw_deg, 0.0),
        high=(*upper, tilt_deg, tilt_deg, yaw_deg, 1.0),
    )


def gripper_delta_vocabulary(metres: float = 0.05, degrees: float = 15.0) -> Vocabulary:
    """The box of relative gripper commands: moves of up to `metres` and `degrees` on each axis; grip as above."""
    if not (metres > 0 and 0 < degrees <= 180):
        raise InputError(f"steps are above 0 metres and 0 to 180 degrees, got {metres} and {degrees}")
    bound = (*(metres,) * 3, *(degrees,) * 3)
    low = (*(-b for b in bound), 0.0)
    return Vocabulary("gripper-delta", fields=FIELDS, low=low, high=(*bound, 1.0))


def _values(plan: Plan) -> np.ndarray:
    if plan.vocabulary.fields != FIELDS:
        raise InputError(f"{plan.vocabulary.name!r} is not a gripper vocabulary ({', '.join(FIELDS)})")
    return np.array([a.values for a in plan.actions], dtype=float)


@dataclass(frozen=True)
class BinnedGripperTranslator:
    """Gripper plans <-> seven integers per action. Bijective on bin centres and whole angle units."""

    vocabulary: Vocabulary
    bins: int = 100
    degrees: float = 3.0
    kind: str = "code"

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.vocabulary.low[:3]), np.array(self.vocabulary.high[:3])

    def encode(self, plan: Plan) -> Control:
        """int64 [L,7]."""
        v, (low, high) = _values(plan), self._bounds()
        out = np.empty(v.shape, dtype=np.int64)
        out[:, :3] = np.clip(np.floor((v[:, :3] - low) / (high - low) * self.bins), 0, self.bins - 1)
        out[:, 3:6] = np.round(v[:, 3:6] / self.degrees)
        out[:, 6] = v[:, 6] > 0.5
        return Control("code", out)

    def decode(self, control: Control) -> Plan:
        """Bin centres, whole angle units and grip 0 or 1; InputError for integers out of range."""
        codes = np.asarray(control.value)
        if codes.ndim != 2 or codes.shape[1] != 7 or not len(codes) or codes.dtype.kind not in "iu":
            raise InputError(
                f"gripper codes are integers [L, 7] with L >= 1, got {codes.shape} {codes.dtype}"
            )
        limit = int(180 // self.degrees)
        bad = (codes[:, :3] < 0) | (codes[:, :3] >= self.bins)
        if bad.any() or (np.abs(codes[:, 3:6]) > limit).any() or not np.isin(codes[:, 6], (0, 1)).all():
            raise InputError(
                f"gripper codes: 0..{self.bins - 1} for x y z, +-{limit} for angles, 0 or 1 for grip"
            )
        low, high = self._bounds()
        xyz = low + (codes[:, :3] + 0.5) / self.bins * (high - low)
        return self.vocabulary.plan(np.concatenate([xyz, codes[:, 3:6] * self.degrees, codes[:, 6:]], axis=1))


@dataclass(frozen=True)
class DenseGripperTranslator:
    """Gripper plans <-> float64 [L,10]: xyz, rot6d, grip. Angles come back wrapped to one Euler solution."""

    vocabulary: Vocabulary
    kind: str = "vector"

    def encode(self, plan: Plan) -> Control:
        """float64 [L,10]."""
        v = _values(plan)
        matrices = Rotation.from_euler("xyz", v[:, 3:6], degrees=True).as_matrix()
        rot6d = matrices[:, :, :2].transpose(0, 2, 1).reshape(-1, 6)
        return Control("vector", np.concatenate([v[:, :3], rot6d, v[:, 6:]], axis=1))

    def decode(self, control: Control) -> Plan:
        """The gripper plan; rot6d columns are orthonormalised by Gram-Schmidt. InputError if degenerate."""
        dense = np.asarray(control.value, dtype=float)
        if dense.ndim != 2 or dense.shape[1] != 10 or not len(dense) or not np.isfinite(dense).all():
            raise InputError(f"dense gripper controls are finite [L, 10] with L >= 1, got {dense.shape}")
        a, b = dense[:, 3:6], dense[:, 6:9]
        length = np.linalg.norm(a, axis=1, keepdims=True)
        x = a / np.where(length > 1e-9, length, 1)
        y = b - (x * b).sum(1, keepdims=True) * x
        ylength = np.linalg.norm(y, axis=1, keepdims=True)
        if (length <= 1e-9).any() or (ylength <= 1e-9).any():
            raise InputError("rot6d columns are zero or parallel: no rotation")
        y = y / ylength
        matrices = np.stack([x, y, np.cross(x, y)], axis=2)
        angles = Rotation.from_matrix(matrices).as_euler("xyz", degrees=True)
        return self.vocabulary.plan(np.concatenate([dense[:, :3], angles, dense[:, 9:]], axis=1))
