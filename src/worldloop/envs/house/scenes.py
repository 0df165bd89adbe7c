"""Scenes by id, loaded once per process and shared by every world that visits them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from worldloop.core.errors import InputError
from worldloop.envs.house.embree import RayScene
from worldloop.envs.house.light import bake_light
from worldloop.envs.house.mesh import Instance, TriangleScene
from worldloop.envs.house.navigation import NavGrid
from worldloop.envs.house.render import Renderer
from worldloop.envs.house.visibility import Visibility

USER_SCENE_SUFFIXES = (".glb", ".gltf", ".obj", ".xml", ".mjcf")


@dataclass(frozen=True, slots=True, eq=False)
class LoadedScene:
    """All that acting in a scene needs. Immutable, so that threads and worlds share it."""

    id: str
    scene: TriangleScene
    renderer: Renderer
    nav: NavGrid
    visibility: Visibility

    @property
    def things(self) -> Mapping[int, Instance]:
        """Instance id -> what it is and where."""
        return self.scene.things


def prepare_scene(
    scene: TriangleScene, scene_id: str | None = None, cache_dir: str | Path | None = None
) -> LoadedScene:
    """Bake (or fetch) the light of a scene and build what rendering and walking need."""
    if not len(scene.positions):
        raise InputError(f"scene {scene_id or scene.key} has no triangles")
    rays = RayScene(scene.positions)
    light = bake_light(scene, cache_dir, rays=rays)
    return LoadedScene(
        scene_id or scene.key,
        scene,
        Renderer(scene, light, rays=rays),
        NavGrid.from_scene(scene),
        Visibility(scene, rays),
    )


class _SceneCache:
    """The scenes used last. Two threads that want the same scene wait for one preparation of it."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, LoadedScene] = OrderedDict()
        self._registered: dict[str, TriangleScene] = {}
        self._busy: dict[str, threading.Lock] = {}

    def register(self, scene_id: str, scene: TriangleScene) -> None:
        with self._lock:
            known = self._registered.get(scene_id)
            if known is not None and known.key != scene.key:
                raise InputError(f"there is another scene {scene_id!r} already; choose another name")
            self._registered[scene_id] = scene

    def get(self, scene_id: str, cache_dir: str | Path | None) -> LoadedScene:
        with self._lock:
            if scene_id in self._loaded:
                self._loaded.move_to_end(scene_id)
                return self._loaded[scene_id]
            busy = self._busy.setdefault(scene_id, threading.Lock())
        with busy:
            with self._lock:
                if scene_id in self._loaded:
                    return self._loaded[scene_id]
                registered = self._registered.get(scene_id)
            scene = registered if registered is not None else _build(scene_id)
            loaded = prepare_scene(scene, scene_id, cache_dir)
            with self._lock:
                self._loaded[scene_id] = loaded
                self._busy.pop(scene_id, None)
                while len(self._loaded) > self.capacity:
                    self._loaded.popitem(last=False)
        return loaded

    def grow(self, capacity: int) -> None:
        with self._lock:
            self.capacity = max(self.capacity, capacity)


def _build(scene_id: str) -> TriangleScene:
    if scene_id.lower().endswith(USER_SCENE_SUFFIXES):
        from worldloop.envs.house.user_scenes import load_user_scene

        return load_user_scene(scene_id)
    if not scene_id.startswith("house/"):
        raise InputError(
            f"no scene {scene_id!r}; scenes are house/SPLIT/STYLE/NUMBER, or a path to a .glb, .gltf, .obj or .xml file"
        )
    from worldloop.envs.house.generate import build_scene, generate_house

    return build_scene(generate_house(scene_id))


_CACHE = _SceneCache(4)


def load_scene(scene_id: str, cache_dir: str | Path | None = None, *, keep: int = 4) -> LoadedScene:
    """The scene of an id, from memory when it was used lately.

    scene_id: `house/{split}/{style}/{index:04d}`, a path to a .glb, .gltf, .obj or MJCF .xml file, or a
    name given to `register_scene`. keep: how many scenes the process should hold at least.
    Raises InputError for an unknown scene or an unusable file.
    """
    _CACHE.grow(keep)
    return _CACHE.get(str(scene_id), cache_dir)


def register_scene(scene_id: str, scene: TriangleScene) -> None:
    """Give a scene of your own an id for the rest of the process; InputError if another scene has it."""
    _CACHE.register(scene_id, scene)
