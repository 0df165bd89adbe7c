"""The contract itself: the card, and what a rollout is made of."""

from __future__ import annotations

import sys
import time

import numpy as np

from worldloop.core import PRIVILEGES, ModelCard, Observation, Rollout
from worldloop.core.errors import ModelError
from worldloop.core.types import OPTIONAL_FIELDS
from worldloop.engine.conformance.report import Check, Skipped
from worldloop.engine.conformance.subject import Subject, counted, shaped
from worldloop.engine.guard import GUARDED, check_rollout

SHOWN = {"rgb", "collided", "gripper", "wrist_rgb", *OPTIONAL_FIELDS, *GUARDED}
"""What an environment may show a model."""
CONTROLS = ("none", "text", "camera", "code", "keys", "vector")


def check_card(card: ModelCard) -> str:
    """What the card says; AssertionError when it cannot be right."""
    assert card.name and card.summary, "the card needs a name and a summary"
    assert card.control in CONTROLS, f"control {card.control!r} is none of {', '.join(CONTROLS)}"
    unknown = set(card.privileges) - set(PRIVILEGES)
    assert not unknown, f"unknown privileges: {', '.join(sorted(unknown))}"
    assert card.history >= 1, "history counts observations, at least the present one"
    missing = {GUARDED[n] for n in card.reads if n in GUARDED} - set(card.privileges)
    assert not missing, f"it reads what only {', '.join(sorted(missing))} may; declare that privilege"
    return f"control {card.control}; privileges: {', '.join(card.privileges) or 'none'}"


def _card(s: Subject) -> str:
    return check_card(s.card)


def _reads(s: Subject) -> str:
    unknown = set(s.card.reads) - SHOWN
    assert not unknown, (
        f"it reads {', '.join(sorted(unknown))}, which no environment shows; known: {', '.join(sorted(SHOWN))}"
    )
    return f"reads: {', '.join(('rgb', *s.card.reads))}"


def _answers(s: Subject) -> str:
    s.memory = memory_now()
    s.model.simulate(s.queries[:1])  # compilation and loading are not the model's speed
    start = time.perf_counter()
    s.answers = list(s.model.simulate(s.queries))
    s.report.seconds_per_rollout = (time.perf_counter() - start) / len(s.queries)
    assert len(s.answers) == s.count, f"{len(s.answers)} rollouts for {s.count} queries"
    strange = [type(r).__name__ for r in s.answers if not isinstance(r, Rollout)]
    assert not strange, f"it returned {strange[0]}, not a Rollout"
    return f"{s.count} rollouts for {s.count} queries"


def _count(s: Subject) -> str:
    for q, r in zip(s.queries, s.answers):
        counted(q, r)
    return f"{s.horizon} frames for {s.horizon} actions"


def _picture(s: Subject) -> str:
    for q, r in zip(s.queries, s.answers):
        shaped(q, r)
    return f"uint8{list(s.answers[0].frames[0].rgb.shape)}"


def _arrays(s: Subject) -> str:
    seen = set()
    for q, r in zip(s.queries, s.answers):
        try:
            check_rollout(q, r, s.card.name)
        except ModelError as error:
            raise AssertionError(str(error)) from None
        for i, frame in enumerate(r.frames):
            seen |= _finite(i, frame)
        if r.latent is not None:
            seen.add("latent")
            assert np.isfinite(np.asarray(r.latent)).all(), "latent has NaN or infinite values"
        seen |= {n for n in ("reward", "done") if getattr(r, n) is not None}
    if not seen:
        raise Skipped("its frames are pictures alone")
    return f"finite: {', '.join(sorted(seen))}"


def _finite(i: int, frame: Observation) -> set[str]:
    """Names of the arrays beside the picture."""
    fields = {n: getattr(frame, n) for n in OPTIONAL_FIELDS if n != "text"}
    seen = {n: a for n, a in {**fields, **frame.extra}.items() if a is not None}
    rows = frame.rgb.shape[:2]
    for name, array in seen.items():
        array = np.asarray(array)
        assert array.dtype.kind in "biuf", f"{name} {i} holds {array.dtype}, no numbers"
        assert np.isfinite(array).all(), f"{name} {i} has NaN or infinite values"
        if name in ("depth", "segmentation"):
            assert array.shape == rows, f"{name} {i} is {list(array.shape)}, the picture {list(rows)}"
    return set(seen)


def _rigid(s: Subject) -> str:
    poses = [np.asarray(f.pose, float) for r in s.answers for f in r.frames if f.pose is not None]
    if not poses:
        raise Skipped("its frames carry no poses")
    for pose in poses:
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise Skipped("see frames.arrays")
        turn = pose[:3, :3]
        rigid = np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) and np.linalg.det(turn) > 0
        assert rigid and np.allclose(pose[3], (0, 0, 0, 1), atol=1e-6), (
            f"no rotation and place: {pose.tolist()}"
        )
    return f"{len(poses)} camera-to-world matrices"


def memory_now() -> dict[str, float]:
    """Peaks of this process in bytes: `resident`, and `gpu` where CUDA is in use."""
    found: dict[str, float] = {}
    if sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        found["resident"] = float(unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    torch = sys.modules.get("torch")  # a model that does not use it needs no answer about its memory
    if torch is not None and torch.cuda.is_initialized():
        found["gpu"] = float(sum(map(torch.cuda.max_memory_allocated, range(torch.cuda.device_count()))))
    return found


CHECKS = (
    Check("card", "card", "fill in the ModelCard as its fields are described in worldloop.core", _card, True),
    Check("reads", "reads", "name observation fields as an environment shows them", _reads, True),
    Check(
        "answers",
        "a rollout for each query",
        "simulate(queries) returns a list with one Rollout for each query, in order",
        _answers,
        True,
    ),
    Check(
        "frames.count",
        "a frame for each action",
        "return exactly len(query.plan) frames, the first of them after the first action",
        _count,
        True,
    ),
    Check(
        "frames.picture",
        "pictures like the observation",
        "return uint8 pictures of the size of query.history[-1].rgb; resize and round on the way out",
        _picture,
        True,
    ),
    Check(
        "frames.arrays",
        "arrays are finite and fit",
        "return depth, poses, heads and extras without NaN and of the documented shapes, or leave them out",
        _arrays,
    ),
    Check(
        "pose.rigid",
        "poses are rotations and places",
        "return camera-to-world matrices [4,4] whose rotation is orthonormal (x right, y down, z forward)",
        _rigid,
    ),
)
