"""The house as an environment: walk, look, and ask "what if"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldloop.actions.navigation import NAVIGATION
from worldloop.core import Action, Episode, InputError, Observation, Plan, Primitive, Vocabulary
from worldloop.envs.house.render import camera_pose
from worldloop.envs.house.scenes import LoadedScene, load_scene
from worldloop.envs.house.visibility import Box, project_box


@dataclass(frozen=True, slots=True)
class Camera:
    """What is rendered at every step. Panoramas cost as much as pictures: switch off what nobody reads."""

    size: int = 128
    """Side of `rgb`, pixels."""
    hfov_deg: float = 90.0
    panorama_height: int | None = 64
    """Rows of the panorama; None renders none."""
    depth: bool = True
    segmentation: bool = True
    height: float = 1.25
    """Metres above the floor."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the agent stands and looks."""

    x: float
    y: float
    yaw_deg: float
    """Kept in 0..360; turns by multiples of 22.5 are exact."""

    def moved(self, primitive: Primitive, loaded: LoadedScene) -> tuple[Place, bool]:
        """The place after a primitive (first the turn, then the walk), and whether the walk was blocked."""
        x, y, collided = self.x, self.y, False
        yaw_deg = (self.yaw_deg + primitive.yaw_deg) % 360.0
        if primitive.forward or primitive.left:
            cosine, sine = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
            step = (
                primitive.forward * cosine - primitive.left * sine,
                primitive.forward * sine + primitive.left * cosine,
            )
            (x, y), collided = loaded.nav.move((x, y), step)
        return Place(x, y, yaw_deg), collided


def observe(loaded: LoadedScene, camera: Camera, pose: np.ndarray, collided: bool = False) -> Observation:
    """Everything a camera at `pose` [4,4] sees."""
    frame = loaded.renderer.pinhole(pose, camera.size, camera.hfov_deg)
    extra = {"collided": np.array(collided)}
    panorama = None
    if camera.panorama_height is not None:
        around = loaded.renderer.panorama(pose, camera.panorama_height)
        panorama = around.rgb
        if camera.depth:
            extra["panorama_depth"] = around.depth
        if camera.segmentation:
            extra["panorama_segmentation"] = around.segmentation
    return Observation(
        rgb=frame.rgb,
        panorama=panorama,
        depth=frame.depth if camera.depth else None,
        segmentation=frame.segmentation if camera.segmentation else None,
        pose=pose,
        hfov_deg=camera.hfov_deg,
        extra=extra,
    )


@dataclass(frozen=True, slots=True)
class HouseSimulator:
    """A frozen state of a `HouseWorld`; independent of it and usable from any thread."""

    loaded: LoadedScene
    camera: Camera
    place: Place
    vocabulary: Vocabulary = NAVIGATION

    @property
    def key(self) -> str:
        """Content key: scene, place and camera."""
        return f"house:{self.loaded.scene.key}:{self.place!r}:{self.camera!r}"

    def rollout(self, plan: Plan) -> tuple[Observation, ...]:
        """The L true observations of a plan, collisions included."""
        place, frames = self.place, []
        for action in plan.actions:
            place, collided = place.moved(self.vocabulary.primitive(action), self.loaded)
            frames.append(observe(self.loaded, self.camera, self._pose(place), collided))
        return tuple(frames)

    def look(self) -> Observation:
        """What is seen from where it stands."""
        return observe(self.loaded, self.camera, self._pose(self.place))

    def places(self, plan: Plan) -> tuple[Place, ...]:
        """The L places that the plan would visit, without rendering them."""
        place, places = self.place, []
        for action in plan.actions:
            place, _ = place.moved(self.vocabulary.primitive(action), self.loaded)
            places.append(place)
        return tuple(places)

    def _pose(self, place: Place) -> np.ndarray:
        return camera_pose(place.x, place.y, place.yaw_deg, self.camera.height)


class HouseWorld:
    """An agent in a house: the `Environment` of navigation tasks."""

    def __init__(
        self,
        size: int = 128,
        hfov_deg: float = 90.0,
        panorama_height: int | None = 64,
        depth: bool = True,
        segmentation: bool = True,
        camera_height: float = 1.25,
        cache_dir: str | Path | None = None,
        scene_cache: int = 4,
        vocabulary: Vocabulary = NAVIGATION,
    ) -> None:
        """size: side of the picture in pixels. panorama_height: None renders no panorama.

        cache_dir: where baked light is kept. scene_cache: scenes kept in memory by the whole process.
        vocabulary: any vocabulary of named primitives.
        """
        if not vocabulary.discrete:
            raise InputError(f"a house is walked in by named primitives; {vocabulary.name!r} has none")
        self.vocabulary = vocabulary
        self.camera = Camera(size, hfov_deg, panorama_height, depth, segmentation, camera_height)
        self.cache_dir = cache_dir
        self._scene_cache = scene_cache
        self._loaded: LoadedScene | None = None
        self._place = Place(0.0, 0.0, 0.0)

    @property
    def loaded(self) -> LoadedScene:
        """The scene of the present episode (privileged); InputError before the first reset."""
        if self._loaded is None:
            raise InputError("reset the world before using it")
        return self._loaded

    @property
    def place(self) -> Place:
        """Where the agent is (privileged)."""
        return self._place

    @property
    def position(self) -> tuple[float, float]:
        """Where the agent stands, metres (privileged)."""
        return self._place.x, self._place.y

    def reset(self, episode: Episode) -> Observation:
        """Place the agent at the start of an episode.

        Raises InputError for an unknown scene or a start where nobody can stand.
        """
        try:
            x, y = (float(v) for v in episode.start["position"])
            yaw = float(episode.start["yaw_deg"])
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"episode {episode.id}: a start needs position [x, y] and yaw_deg, got {dict(episode.start)}"
            ) from None
        loaded = load_scene(episode.scene, self.cache_dir, keep=self._scene_cache)
        if not all(map(math.isfinite, (x, y, yaw))) or not loaded.nav.is_free((x, y)):
            raise InputError(f"episode {episode.id}: nobody can stand at ({x}, {y}) in {episode.scene}")
        self._loaded = loaded
        self._place = Place(x, y, yaw % 360.0)
        return self.view()

    def step(self, action: Action | str) -> Observation:
        """Carry out one primitive; a walk stops short of obstacles and then sets `extra["collided"]`."""
        self._place, collided = self._place.moved(self.vocabulary.primitive(action), self.loaded)
        return observe(self.loaded, self.camera, self.pose(), collided)

    def simulator(self) -> HouseSimulator:
        """A detached copy of the present state (privilege `simulator`)."""
        return HouseSimulator(self.loaded, self.camera, self._place, self.vocabulary)

    def close(self) -> None:
        """Let go of the scene; other worlds may still share it."""
        self._loaded = None

    def pose(
        self, x: float | None = None, y: float | None = None, yaw_deg: float | None = None
    ) -> np.ndarray:
        """float64 [4,4], the camera at a place; what is not given is as it is now."""
        here = self._place
        return camera_pose(
            here.x if x is None else x,
            here.y if y is None else y,
            here.yaw_deg if yaw_deg is None else yaw_deg,
            self.camera.height,
        )

    def view(self, pose: np.ndarray | None = None) -> Observation:
        """What the camera would see from a pose [4,4]; from here by default. Nothing moves."""
        return observe(self.loaded, self.camera, self.pose() if pose is None else pose)

    def project_box(self, thing_id: int, pose: np.ndarray | None = None) -> Box | None:
        """Pixels (x0, y0, x1, y1) of a thing's bounds in the picture, or None when it is out of view."""
        thing = self.loaded.visibility.thing(thing_id)
        return project_box(
            thing, self.pose() if pose is None else pose, self.camera.size, self.camera.hfov_deg
        )

    def visible_pixels(self, thing_id: int, pose: np.ndarray | None = None) -> int:
        """How many pixels of the picture show a thing."""
        pose = self.pose() if pose is None else pose
        return self.loaded.visibility.visible_pixels(thing_id, pose, self.camera.size, self.camera.hfov_deg)

    def unoccluded_pixels(self, thing_id: int, pose: np.ndarray | None = None) -> int:
        """How many pixels would show the thing if nothing stood in the way; visibility is the ratio."""
        pose = self.pose() if pose is None else pose
        return self.loaded.visibility.unoccluded_pixels(
            thing_id, pose, self.camera.size, self.camera.hfov_deg
        )
