"""The arm at work: commands at 20 Hz, inverse kinematics, contact, and a state that can be kept and put back."""

from __future__ import annotations

import copy
import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from worldloop.envs.tabletop.layout import BUTTON_TRAVEL, Layout
from worldloop.envs.tabletop.model import ARM_JOINTS, FREE, SUBSTEPS, compile_model, mujoco_module

REST = np.array([0.0, -0.35, 0.0, -2.35, 0.0, 2.0, math.pi / 4])
"""Joint angles of the arm at the start, radians: the hand above the near edge, out of the camera's way."""
SPEED, TURN = 0.025, math.radians(12)
"""Most metres and radians that the setpoint moves in one command."""
EASE = 0.4
"""Share of its way that the setpoint moves at most towards a waypoint, so that the hand comes to a soft stop."""
DAMPING, ROUNDS = 0.02, 4
"""Of the least squares of the inverse kinematics, and its iterations in one command."""
PRESSED = 0.6
"""Share of its travel at which a button counts as pressed."""


@dataclass(frozen=True)
class TableState:
    """Everything the future depends on, by value."""

    physics: bytes
    """MuJoCo's integration state."""
    setpoint: tuple[float, ...]
    """x, y, z in metres, then the quaternion (x, y, z, w) the hand is steered to."""
    presses: tuple[int, ...]
    """Indices of the buttons in the order in which they were pressed."""
    down: tuple[bool, ...]
    """Which buttons are down now."""

    @property
    def key(self) -> str:
        """Equal keys mean equal states."""
        text = repr((self.setpoint, self.presses, self.down)).encode()
        return hashlib.blake2b(self.physics + text, digest_size=16).hexdigest()


@lru_cache(maxsize=128)
def _model(layout: Layout) -> Any:
    model = copy.copy(compile_model(tuple(t.kind for t in layout.things)))
    for number, thing in enumerate(layout.things):
        if thing.kind not in FREE:
            model.body(f"thing{number}").pos[:2] = thing.position
    return model


class Physics:
    """The moving state of one layout. Not for sharing between threads; models are shared, states are not."""

    def __init__(self, layout: Layout) -> None:
        mujoco = mujoco_module()
        self._mj, self.layout, self.model = mujoco, layout, _model(layout)
        model = self.model
        self.data, self._scratch = mujoco.MjData(model), mujoco.MjData(model)
        joints = [model.joint(name) for name in ARM_JOINTS]
        self._arm = np.array([j.qposadr[0] for j in joints])
        self._dofs = np.array([j.dofadr[0] for j in joints])
        self._range = model.jnt_range[[j.id for j in joints]].T
        self._fingers = np.array([model.joint(f"finger_joint{i}").qposadr[0] for i in (1, 2)])
        self._tcp = model.site("tcp").id
        self._bodies = [model.body(f"thing{i}").id for i in range(len(layout.things))]
        self._buttons = [i for i, t in enumerate(layout.things) if t.kind == "button"]
        caps = [model.body(f"thing{i}_cap").id for i in self._buttons]
        self._caps = [int(model.jnt_qposadr[model.body_jntadr[c]]) for c in caps]
        self._spec = mujoco.mjtState.mjSTATE_INTEGRATION
        self._size = mujoco.mj_stateSize(model, self._spec)
        self._jacobian = np.zeros((6, model.nv))
        self.reset()

    def reset(self) -> None:
        """Things as the layout has them, the arm at rest, the gripper open."""
        data, model = self.data, self.model
        self._mj.mj_resetData(model, data)
        data.qpos[self._arm] = REST
        data.qpos[self._fingers] = 0.04
        data.ctrl[:7], data.ctrl[7] = REST, 255
        for number, thing in enumerate(self.layout.things):
            if thing.kind in FREE:
                start = model.jnt_qposadr[model.body_jntadr[self._bodies[number]]]
                half = math.radians(thing.yaw_deg) / 2
                data.qpos[start : start + 7] = [*thing.position, 1e-4, math.cos(half), 0, 0, math.sin(half)]
        self._mj.mj_forward(model, data)
        self._goal = data.site_xpos[self._tcp].copy()
        self._turn = Rotation.from_matrix(data.site_xmat[self._tcp].reshape(3, 3))
        self._presses: list[int] = []
        self._down = [False] * len(self._buttons)
        for _ in range(4):  # things settle on the table
            self.tick(self._goal, self._turn, 1.0)

    def tick(
        self, position: np.ndarray, rotation: Rotation, grip: float, speed: float = SPEED, ease: float = 1.0
    ) -> None:
        """One command of 0.05 s: steer the hand towards a place [3] (metres) and a rotation; grip 1 is open.

        The setpoint moves by at most `speed` metres and `TURN` radians, and by at most the share `ease` of its way.
        """
        way = np.asarray(position, float) - self._goal
        far = max(float(np.linalg.norm(way)), 1e-9)
        self._goal = self._goal + way * min(1.0, min(speed, ease * far + 0.001) / far)
        turn = (rotation * self._turn.inv()).as_rotvec()
        self._turn = (
            Rotation.from_rotvec(turn * min(1.0, TURN / max(float(np.linalg.norm(turn)), 1e-9))) * self._turn
        )
        self.data.ctrl[:7] = self._inverse(self._goal, self._turn)
        self.data.ctrl[7] = 255.0 * grip
        self._mj.mj_step(self.model, self.data, SUBSTEPS)
        self._mj.mj_kinematics(self.model, self.data)  # places as of now, not of a substep ago
        self._note_presses()

    def _inverse(self, position: np.ndarray, rotation: Rotation) -> np.ndarray:
        """Joint angles [7] near the present ones, by damped least squares within the joints' limits."""
        scratch, model, wanted = self._scratch, self.model, rotation.as_matrix()
        angles = np.array(self.data.ctrl[:7])
        for _ in range(ROUNDS):
            scratch.qpos[self._arm] = angles
            self._mj.mj_kinematics(model, scratch)
            self._mj.mj_comPos(model, scratch)
            self._mj.mj_jacSite(model, scratch, self._jacobian[:3], self._jacobian[3:], self._tcp)
            here = scratch.site_xmat[self._tcp].reshape(3, 3)
            turn = wanted @ here.T
            error = np.empty(6)
            error[:3] = position - scratch.site_xpos[self._tcp]
            error[3:] = 0.5 * np.array(
                [turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]
            )
            if error @ error < 1e-9:
                break
            part = self._jacobian[:, self._dofs]
            inverse = part.T @ np.linalg.inv(part @ part.T + DAMPING**2 * np.eye(6))
            # What the task leaves free pulls the elbow back to rest.
            rest = 0.05 * (REST - angles)
            step = inverse @ error + rest - inverse @ (part @ rest)
            angles = np.clip(angles + step, *self._range)
        return angles

    def _note_presses(self) -> None:
        for k, (button, at) in enumerate(zip(self._buttons, self._caps)):
            depth = -float(self.data.qpos[at]) / BUTTON_TRAVEL
            if depth >= PRESSED and not self._down[k]:
                self._presses.append(button)
                self._down[k] = True
            elif depth < 0.3:
                self._down[k] = False

    @property
    def tip(self) -> np.ndarray:
        """float64 [3]: the point between the fingertips, metres."""
        return self.data.site_xpos[self._tcp].copy()

    @property
    def tip_rotation(self) -> Rotation:
        """The hand's rotation in the world."""
        return Rotation.from_matrix(self.data.site_xmat[self._tcp].reshape(3, 3))

    @property
    def setpoint(self) -> tuple[np.ndarray, Rotation]:
        """Where the hand is being steered to."""
        return self._goal.copy(), self._turn

    @property
    def opening(self) -> float:
        """Metres between the fingers, 0..0.08."""
        return float(self.data.qpos[self._fingers].sum())

    @property
    def finger_speed(self) -> float:
        """Largest speed of the fingers, m/s."""
        return float(np.abs(self.data.qvel[self._fingers]).max())

    @property
    def presses(self) -> tuple[str, ...]:
        """Names of the buttons in the order in which they were pressed."""
        return tuple(self.layout.things[i].name for i in self._presses)

    def place(self, name: str) -> np.ndarray:
        """float64 [4,4]: thing to world; its origin is the middle of its bottom (privileged)."""
        number = next(i for i, t in enumerate(self.layout.things) if t.name == name)
        return self.body_pose(self._bodies[number])

    def body_pose(self, body: int | str) -> np.ndarray:
        """float64 [4,4]: body to world."""
        if isinstance(body, str):
            body = self.model.body(body).id
        pose = np.eye(4)
        pose[:3, :3] = self.data.xmat[body].reshape(3, 3)
        pose[:3, 3] = self.data.xpos[body]
        return pose

    def touches_hand(self, name: str) -> bool:
        """Whether a thing is in contact with the fingers or the hand (privileged)."""
        number = next(i for i, t in enumerate(self.layout.things) if t.name == name)
        body, hand = (
            self._bodies[number],
            {self.model.body(n).id for n in ("hand", "left_finger", "right_finger")},
        )
        owner = self.model.geom_bodyid
        pairs = [{int(owner[a]), int(owner[b])} for a, b in self.data.contact.geom]
        return any(body in pair and pair & hand for pair in pairs)

    def state(self) -> TableState:
        """A copy of the whole state."""
        values = np.empty(self._size)
        self._mj.mj_getState(self.model, self.data, values, self._spec)
        setpoint = (*map(float, self._goal), *map(float, self._turn.as_quat()))
        return TableState(values.tobytes(), setpoint, tuple(self._presses), tuple(self._down))

    def restore(self, state: TableState) -> None:
        """Put a state of the same layout back; what follows is the same to the last bit."""
        self._mj.mj_setState(self.model, self.data, np.frombuffer(state.physics), self._spec)
        self._mj.mj_kinematics(self.model, self.data)
        self._mj.mj_collision(self.model, self.data)
        self._goal = np.array(state.setpoint[:3])
        self._turn = Rotation.from_quat(state.setpoint[3:])
        self._presses, self._down = list(state.presses), list(state.down)
