"""Embree, called straight from compiled code: a frame is traced and shaded without the interpreter.

The shared library comes with the `embreex` wheel (or from the system); its C interface is used directly
because the wheel's own Python call goes ray by ray and holds the interpreter lock.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import threading
import weakref
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from worldloop.core.errors import InputError, WorldloopError

LANES = 16
"""Rays per packet of incoherent rays. Camera rays come in packets of `library().lanes`, the widest kind that
the processor traces as one."""

# Rows of a packet, seen as float32 or int32 [ROWS, lanes]: RTCRayHit16 (8, 4) of embree4/rtcore_ray.h.
ORG, NEAR, DIR, TIME, FAR, MASK, RAY_ID, FLAGS = 0, 3, 4, 7, 8, 9, 10, 11
HIT_U, HIT_V, PRIM, GEOM, INSTANCE = 15, 16, 17, 18, 19
ROWS = 24

_TRIANGLE, _INDEX, _VERTEX = 0, 0, 1
_INSTANCE, _FLOAT3X4_ROWS = 121, 0x9134
_UINT3, _FLOAT3 = 0x5003, 0x9003
_VERSION_MAJOR = 1
_NATIVE_PACKETS = ((16, 34), (8, 33), (4, 32))
_COHERENT = 1 << 16
_HELP = (
    "the house renderer needs Embree 4. On Linux x86-64, macOS and Windows: pip install 'embreex>=4.4'. "
    "On Linux aarch64 there is no wheel: install the system library (Debian, Ubuntu: apt install libembree4-4)"
)


def _candidates() -> list[str]:
    found: list[str] = []
    spec = importlib.util.find_spec("embreex")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        for folder in (package.parent / "embreex.libs", package / ".dylibs", package):
            found += [str(p) for p in sorted(folder.glob("*embree4*")) if p.is_file()]
    system = ctypes.util.find_library("embree4")
    return found + ([system] if system else [])


class _Library:
    """The C functions in use, one device, and addresses that compiled code can call."""

    def __init__(self) -> None:
        for name in _candidates():
            try:
                self.c = ctypes.CDLL(name)
                break
            except OSError:
                continue
        else:
            raise InputError(_HELP)
        pointer, uint, size = ctypes.c_void_p, ctypes.c_uint, ctypes.c_size_t
        signatures: dict[str, tuple[Any, list[Any]]] = {
            "rtcNewDevice": (pointer, [ctypes.c_char_p]),
            "rtcGetDeviceProperty": (ctypes.c_ssize_t, [pointer, ctypes.c_int]),
            "rtcGetDeviceError": (ctypes.c_int, [pointer]),
            "rtcNewScene": (pointer, [pointer]),
            "rtcSetSceneBuildQuality": (None, [pointer, ctypes.c_int]),
            "rtcNewGeometry": (pointer, [pointer, ctypes.c_int]),
            "rtcSetNewGeometryBuffer": (pointer, [pointer, ctypes.c_int, uint, ctypes.c_int, size, size]),
            "rtcCommitGeometry": (None, [pointer]),
            "rtcAttachGeometry": (uint, [pointer, pointer]),
            "rtcReleaseGeometry": (None, [pointer]),
            "rtcCommitScene": (None, [pointer]),
            "rtcReleaseScene": (None, [pointer]),
            "rtcSetGeometryInstancedScene": (None, [pointer, pointer]),
            "rtcSetGeometryTransform": (None, [pointer, uint, ctypes.c_int, pointer]),
        }
        for name, (result, arguments) in signatures.items():
            function = getattr(self.c, name)
            function.restype, function.argtypes = result, arguments
        # One building thread: the tree, and with it every tie between coincident triangles, is the same each time.
        self.device = self.c.rtcNewDevice(b"threads=1,set_affinity=0")
        if not self.device or self.c.rtcGetDeviceProperty(self.device, _VERSION_MAJOR) != 4:
            raise InputError(_HELP)
        native = [n for n, key in _NATIVE_PACKETS if self.c.rtcGetDeviceProperty(self.device, key)]
        self.lanes: int = native[0] if native else 4
        self.intersect_camera = self._address(f"rtcIntersect{self.lanes}")
        self.intersect16 = self._address("rtcIntersect16")
        self.occluded16 = self._address("rtcOccluded16")
        self.coherent, self.incoherent = _arguments(_COHERENT), _arguments(0)
        self.all_lanes = _aligned(LANES)
        self.all_lanes[:] = -1

    def _address(self, name: str) -> int:
        address = ctypes.cast(getattr(self.c, name), ctypes.c_void_p).value
        if address is None:
            raise InputError(_HELP)
        return address


def _aligned(count: int) -> np.ndarray:
    """int32 [count] on a 64-byte boundary, as Embree wants masks: packets that meet moving parts fail without."""
    store = np.zeros(count + 16, np.int32)
    shift = (-(store.ctypes.data // 4)) % 16
    return store[shift : shift + count]


def _arguments(flags: int) -> np.ndarray:
    """RTCIntersectArguments (same layout as RTCOccludedArguments): query flags, all features, no callbacks."""
    data = np.zeros(16, np.uint32)
    data[0], data[1] = flags, 0xFFFFFFFF
    return data


_LOCK = threading.Lock()


@cache
def _load() -> _Library:
    return _Library()


def library() -> _Library:
    """The loaded library; InputError that says what to install when there is none."""
    with _LOCK:
        return _load()


class RayScene:
    """Triangles that rays can hit. Any number of threads may trace at once."""

    def __init__(self, positions: np.ndarray, quality: int = 1) -> None:
        """positions: float32 [T,3,3], metres. quality: 0 quick build, 1 usual, 2 slow build and quicker rays."""
        lib = library()
        c, count = lib.c, len(positions)
        scene = c.rtcNewScene(lib.device)
        c.rtcSetSceneBuildQuality(scene, quality)
        if count:
            geometry = c.rtcNewGeometry(lib.device, _TRIANGLE)
            vertices = c.rtcSetNewGeometryBuffer(geometry, _VERTEX, 0, _FLOAT3, 12, 3 * count)
            indices = c.rtcSetNewGeometryBuffer(geometry, _INDEX, 0, _UINT3, 12, count)
            if not vertices or not indices:
                raise WorldloopError(f"Embree could not allocate a scene of {count} triangles")
            corners = np.ascontiguousarray(positions, np.float32)
            ctypes.memmove(vertices, corners.ctypes.data, corners.nbytes)
            order = np.arange(3 * count, dtype=np.uint32)
            ctypes.memmove(indices, order.ctypes.data, order.nbytes)
            c.rtcCommitGeometry(geometry)
            c.rtcAttachGeometry(scene, geometry)
            c.rtcReleaseGeometry(geometry)
        c.rtcCommitScene(scene)
        error = c.rtcGetDeviceError(lib.device)
        if error:
            raise WorldloopError(f"Embree failed to build a scene of {count} triangles (error {error})")
        self.address: int = scene
        self._finalizer = weakref.finalize(self, c.rtcReleaseScene, scene)

    def calls(self) -> np.ndarray:
        """int64 [7]: addresses for compiled code, at the positions `SCENE` to `CAMERA`."""
        return _calls(self.address)


class MovingScene:
    """Rigid parts that are moved between pictures. Any number of threads may trace, but not while parts move."""

    def __init__(self, parts: Sequence[RayScene]) -> None:
        """parts: what moves as one; a hit's row `INSTANCE` is an index into them. They may be shared."""
        lib = library()
        c = lib.c
        self._parts = tuple(parts)  # kept alive: the scene only points at them
        self.address: int = c.rtcNewScene(lib.device)
        self._geometries = []
        for part in parts:
            geometry = c.rtcNewGeometry(lib.device, _INSTANCE)
            c.rtcSetGeometryInstancedScene(geometry, part.address)
            c.rtcAttachGeometry(self.address, geometry)
            c.rtcReleaseGeometry(geometry)  # the scene holds it
            self._geometries.append(geometry)
        self._finalizer = weakref.finalize(self, c.rtcReleaseScene, self.address)
        self.move(np.tile(np.eye(4, dtype=np.float32)[:3], (len(self._parts), 1, 1)))

    def move(self, transforms: np.ndarray) -> None:
        """transforms: float32 [P,3,4], part to world."""
        lib = library()
        rows = np.ascontiguousarray(transforms, np.float32)
        if rows.shape != (len(self._parts), 3, 4):
            raise InputError(f"{len(self._parts)} parts need as many 3x4 transforms, got {rows.shape}")
        for geometry, row in zip(self._geometries, rows):
            lib.c.rtcSetGeometryTransform(geometry, 0, _FLOAT3X4_ROWS, row.ctypes.data)
            lib.c.rtcCommitGeometry(geometry)
        lib.c.rtcCommitScene(self.address)
        error = lib.c.rtcGetDeviceError(lib.device)
        if error:
            raise WorldloopError(f"Embree failed to move {len(rows)} parts (error {error})")

    def calls(self) -> np.ndarray:
        """int64 [7]: addresses for compiled code, at the positions `SCENE` to `CAMERA`."""
        return _calls(self.address)


def _calls(scene: int) -> np.ndarray:
    lib = library()
    return np.array(
        [
            scene,
            lib.intersect16,
            lib.occluded16,
            lib.coherent.ctypes.data,
            lib.incoherent.ctypes.data,
            lib.all_lanes.ctypes.data,
            lib.intersect_camera,
        ],
        np.int64,
    )


SCENE, INTERSECT, OCCLUDED, COHERENT, INCOHERENT, VALID, CAMERA = range(7)
"""Positions within `calls()`; `INTERSECT` and `OCCLUDED` take 16 rays, `CAMERA` takes `library().lanes`."""


def _call_embree(typingctx: Any, function: Any, valid: Any, scene: Any, rays: Any, arguments: Any) -> Any:
    """Call a C function at an address with four addresses. An address instead of a ctypes object keeps the
    compiled code cacheable across processes."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word] * 4)
        target = builder.inttoptr(values[0], kind.as_pointer())
        builder.call(target, list(values[1:]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64, types.int64), codegen


call_embree: Any = intrinsic(_call_embree)


@njit(cache=True, nogil=True)
def packet(lanes: int) -> np.ndarray:
    """A zeroed ray packet on a 64-byte boundary, as float32 [ROWS, lanes]."""
    store = np.zeros(ROWS * lanes + 16, np.float32)
    shift = (-(store.ctypes.data // 4)) % 16
    rays = store[shift : shift + ROWS * lanes].reshape(ROWS, lanes)
    words = rays.view(np.int32)
    for lane in range(lanes):
        words[MASK, lane] = -1
    return rays
