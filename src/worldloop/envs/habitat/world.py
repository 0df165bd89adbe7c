"""A scanned building as an environment: walk, look, and ask "what if"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.actions import NAVIGATION
from worldloop.core import Action, Episode, InputError, Observation, Plan, Vocabulary
from worldloop.envs.habitat.geometry import FACES, camera_pose, quaternion, stitched, stitched_range
from worldloop.envs.habitat.scans import SCANS, HabitatConfig, instances
from worldloop.envs.stage import on_stage

SCENES = "habitat/"
"""How the names of such scenes begin; the path of the scene file follows."""


@dataclass(frozen=True)
class HabitatState:
    """Where the agent is, in Habitat's frame."""

    position: tuple[float, float, float]
    """Metres, y up; on the floor."""
    rotation: tuple[float, float, float, float]
    """Unit quaternion (w, x, y, z)."""

    @classmethod
    def of(cls, position: Any, rotation: Any, where: str) -> HabitatState:
        """From three and four numbers; InputError when they are none, or no rotation."""
        try:
            place, turn = np.array(position, float).reshape(3), np.array(rotation, float).reshape(4)
        except (TypeError, ValueError):
            place = turn = np.full(4, np.nan)
        norm = float(np.linalg.norm(turn))
        if not (np.isfinite(place).all() and math.isfinite(norm) and norm > 1e-6):
            raise InputError(
                f"{where}: a place in a scan is a position of 3 numbers and a rotation (w, x, y, z)"
            )
        return cls(tuple(place.tolist()), tuple((turn / norm).tolist()))


@dataclass(frozen=True)
class HabitatSimulator:
    """A frozen state of a `HabitatWorld`; independent of it and usable from any thread."""

    path: Path
    config: HabitatConfig
    state: HabitatState

    @property
    def key(self) -> str:
        """Content key: scene, place and cameras."""
        return f"habitat:{self.path}:{self.state!r}:{self.config!r}"

    def rollout(self, plan: Plan) -> tuple[Observation, ...]:
        """The L true observations of a plan, collisions included. InputError for another vocabulary."""
        return on_stage(self._play, plan)

    def _play(self, plan: Plan) -> tuple[Observation, ...]:
        state, frames = self.state, []
        for action in plan.actions:
            state, seen = stepped(self.path, self.config, state, action)
            frames.append(seen)
        return tuple(frames)


def looked(path: Path, config: HabitatConfig, state: HabitatState) -> Observation:
    """What is seen from a state. For the stage only."""
    sim = placed(path, config, state)
    return _observation(sim.get_sensor_observations(), config, state, False)


def stepped(
    path: Path, config: HabitatConfig, state: HabitatState, action: Action
) -> tuple[HabitatState, Observation]:
    """The state after one primitive, and what is seen then. For the stage only."""
    if NAVIGATION.primitive(action).stops:
        return state, looked(path, config, state)
    sim = placed(path, config, state)
    seen = sim.step(action.name)
    now = sim.get_agent(0).get_state()
    turn = now.rotation
    state = HabitatState.of(now.position, (turn.w, turn.x, turn.y, turn.z), str(path))
    return state, _observation(seen, config, state, bool(seen["collided"]))


def placed(path: Path, config: HabitatConfig, state: HabitatState) -> Any:
    """The simulator of a scene with its agent in a state. All worlds in a scene share it."""
    import habitat_sim

    sim = SCANS.get(path, config)
    w, x, y, z = state.rotation
    place = np.array(state.position, np.float32)
    sim.get_agent(0).set_state(habitat_sim.agent.AgentState(position=place, rotation=[x, y, z, w]))
    return sim


def _observation(seen: Any, config: HabitatConfig, state: HabitatState, collided: bool) -> Observation:
    extra = {"collided": np.array(collided)}
    panorama, rows = None, config.panorama_height
    if rows is not None:
        panorama = stitched({n: seen[f"panorama_{n}"][:, :, :3] for n in FACES}, rows)
        if config.depth:
            extra["panorama_depth"] = stitched_range({n: seen[f"panorama_{n}_depth"] for n in FACES}, rows)
    return Observation(
        rgb=np.array(seen["rgb"][:, :, :3]),  # a copy: Habitat draws into the same memory again
        panorama=panorama,
        depth=np.array(seen["rgb_depth"], np.float32) if config.depth else None,
        segmentation=np.array(seen["rgb_segmentation"], np.int32) if config.segmentation else None,
        pose=camera_pose(np.array(state.position), np.array(state.rotation), config.height, config.pitch_deg),
        hfov_deg=config.hfov_deg,
        extra=extra,
    )


class HabitatWorld:
    """An agent in a scan: the `Environment` of navigation tasks there. Every call is carried out on the stage."""

    vocabulary: Vocabulary = NAVIGATION

    def __init__(self, folder: str | Path, config: HabitatConfig | None = None) -> None:
        """folder: where the scene files lie that episodes name."""
        self.folder, self.config = Path(folder), config or HabitatConfig()
        self._path: Path | None = None
        self._state: HabitatState | None = None
        self._instances: dict[int, str] | None = None

    @property
    def state(self) -> HabitatState:
        """Where the agent is (privileged); InputError before the first reset."""
        if self._state is None:
            raise InputError("reset the world before using it")
        return self._state

    @property
    def path(self) -> Path:
        """The scene file of the episode; InputError before the first reset."""
        if self._path is None:
            raise InputError("reset the world before using it")
        return self._path

    def reset(self, episode: Episode) -> Observation:
        """Place the agent at the start, which the episode's goal has in Habitat's frame (`start_position`, ...).

        Raises InputError for a scene that is not there, or a start where nobody can stand.
        """
        state = place_of(episode, "start")
        path = scene_path(self.folder, episode)
        if not on_stage(self._navigable, path, state):
            raise InputError(f"episode {episode.id}: nobody can stand at its start in {path}")
        self._path, self._state, self._instances = path, state, None
        return self.view()

    def step(self, action: Action | str) -> Observation:
        """Carry out one primitive; a walk that is blocked sets `extra["collided"]`."""
        action = Action(action) if isinstance(action, str) else action
        self._state, seen = on_stage(stepped, self.path, self.config, self.state, action)
        return seen

    def simulator(self) -> HabitatSimulator:
        """A detached copy of the present state (privilege `simulator`)."""
        return HabitatSimulator(self.path, self.config, self.state)

    def view(self, state: HabitatState | None = None) -> Observation:
        """What is seen from a state, from here by default. Nothing moves."""
        return on_stage(looked, self.path, self.config, state or self.state)

    def geodesic(self, a: HabitatState, b: HabitatState) -> float:
        """Metres of the shortest way on foot; infinite where there is none."""
        return on_stage(self._geodesic, a, b)

    def instances(self) -> Mapping[int, str]:
        """Instance number in `segmentation` -> category of what is annotated in the scene; empty where nothing is.

        Privileged: it is the truth.
        """
        if self._instances is None:
            self._instances = on_stage(instances, self.path, self.config)
        return self._instances

    def close(self) -> None:
        """Let go of the episode; the scene stays open for others."""
        self._path = self._state = self._instances = None

    def _navigable(self, path: Path, state: HabitatState) -> bool:
        return bool(
            SCANS.get(path, self.config).pathfinder.is_navigable(np.array(state.position, np.float32))
        )

    def _geodesic(self, a: HabitatState, b: HabitatState) -> float:
        import habitat_sim

        way = habitat_sim.ShortestPath()
        way.requested_start, way.requested_end = (np.array(s.position, np.float32) for s in (a, b))
        found = SCANS.get(self.path, self.config).pathfinder.find_path(way)
        return float(way.geodesic_distance) if found else math.inf


def place_of(episode: Episode, of: str) -> HabitatState:
    """The `start` or `goal` of an episode of World-In-World; InputError when it does not say."""
    given = episode.goal
    return HabitatState.of(
        given.get(f"{of}_position"), given.get(f"{of}_rotation"), f"episode {episode.id}: {of}"
    )


def scene_path(folder: Path, episode: Episode) -> Path:
    """The file of an episode's scene, which may be named by the folder it is in; InputError when it is not there."""
    path = folder / episode.scene.removeprefix(SCENES)
    if path.is_dir():
        # Of HM3D, *.basis.glb is the scan and *.semantic.glb its annotations.
        found = sorted(path.glob("*.basis.glb")) or sorted(
            f for f in path.glob("*.glb") if not f.name.endswith(".semantic.glb")
        )
        if len(found) != 1:
            raise InputError(
                f"episode {episode.id}: {path} has {len(found)} scenes; name the file of one in the list"
            )
        return found[0]
    if not path.is_file():
        raise InputError(f"episode {episode.id}: there is no scene {path}")
    return path


def yaw_deg(state: HabitatState) -> float:
    """Heading in degrees in our frame: 0 looks along +x (Habitat's -z), positive to the left."""
    x, _, z = quaternion(np.array(state.rotation)).apply([0.0, 0.0, -1.0])
    return math.degrees(math.atan2(-x, -z))
