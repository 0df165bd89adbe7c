"""What a model does with a plan: its language, its length, its view, and where it says it went."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from worldloop.actions import intended_path, usual_translator, yaw_of
from worldloop.core import Action, InputError, Plan, Rollout
from worldloop.engine.conformance.report import Check, Note, Skipped
from worldloop.engine.conformance.subject import Subject, counted, difference, resized, same
from worldloop.engine.guard import placed

ANOTHER_VIEW = 70.0
"""Degrees: a horizontal field of view that no model takes for granted."""


def _round_trip(s: Subject) -> str:
    vocabulary, kind = s.queries[0].plan.vocabulary, s.card.control
    if kind == "none":
        raise Skipped("it has no control")
    own = getattr(s.model, "translator", None)
    try:
        translator = own(vocabulary) if callable(own) else usual_translator(kind, vocabulary)
    except InputError as error:
        raise Skipped(
            f"plans of {vocabulary.name!r} have no {kind} that could be read back: {error}"
        ) from None
    decode = getattr(translator, "decode", None)
    if translator is None or decode is None:
        raise Skipped(f"no translator reads {kind} back into plans of {vocabulary.name!r}")
    plans = [q.plan for q in s.queries]
    if vocabulary.discrete:
        plans.append(vocabulary.plan([p.name for p in vocabulary.primitives]))
    for plan in plans:
        back = decode(translator.encode(plan))
        assert _equal_plans(plan, back), f"{plan} came back from {kind} as {back}"
    whose = "the model's own" if callable(own) else "the usual"
    return f"{len(plans)} plans of {vocabulary.name!r} through {whose} {kind}"


def _equal_plans(a: Plan, b: Plan) -> bool:
    if a.vocabulary.discrete:
        return a.names == b.names
    return len(a) == len(b) and np.allclose(
        [x.values for x in a.actions], [x.values for x in b.actions], atol=1e-6
    )


def _one_action(s: Subject) -> str:
    q = resized(s.queries[0], 1)
    counted(q, s.one(q))
    return ""


def _doubled(s: Subject) -> str:
    q = resized(s.queries[0], 2 * s.horizon)
    s.doubled = counted(q, s.if_it_can(q))
    return f"{len(q.plan)} frames for {len(q.plan)} actions"


def _prefix(s: Subject) -> str:
    # Not a fault: video models that make all frames at once look ahead, or spread the plan over a video of fixed length.
    if s.doubled is None:
        raise Skipped("see plan.double")
    length = len(s.queries[0].plan)
    first, begun = Rollout(s.answers[0].frames), Rollout(s.doubled.frames[:length])
    if same(first, begun):
        return Note(f"the first {length} frames of a plan twice as long are the same")
    return Note(f"the first {length} frames of a plan twice as long differ {difference(first, begun)}")


def _view(s: Subject) -> str:
    if "simulator" in s.card.privileges:
        raise Skipped("its pictures are the simulator's, whose camera is fixed")
    q = s.queries[0]
    history = tuple(replace(o, hfov_deg=ANOTHER_VIEW) for o in q.history)
    always = s.card.settings.get("hfov_deg")
    for asked in (q, replace(q, history=history)):
        wanted = asked.history[-1].hfov_deg
        for i, frame in enumerate(s.if_it_can(asked).frames):
            assert frame.hfov_deg == wanted or (always is not None and frame.hfov_deg == always), (
                f"frame {i} says {frame.hfov_deg:g} degrees of view, the observation {wanted:g}"
            )
    return f"{q.history[-1].hfov_deg:g} and {ANOTHER_VIEW:g} degrees of view"


def _path(s: Subject) -> str:
    # Not a fault: a model that knows of a wall is right to end elsewhere than the plan meant to.
    if not s.queries[0].plan.vocabulary.discrete:
        raise Skipped("only named moves intend a path of the camera")
    metres, degrees = [], []
    for raw, answer in zip(s.raw, s.answers):
        start = raw.history[-1].pose
        last = placed(answer, start, s.card).frames[-1].pose
        if last is None or start is None or np.shape(last) != (4, 4) or not np.isfinite(last).all():
            continue
        x, y, yaw = intended_path(raw.plan, float(start[0, 3]), float(start[1, 3]), yaw_of(start))[-1]
        metres.append(float(np.hypot(last[0, 3] - x, last[1, 3] - y)))
        degrees.append(abs((yaw_of(last) - yaw + 180) % 360 - 180))
    if not metres:
        raise Skipped("its last frames carry no poses")
    return Note(
        f"the last poses are {np.mean(metres):.2f} m and {np.mean(degrees):.1f} degrees from where the plans lead, "
        f"at most {max(metres):.2f} m and {max(degrees):.1f} degrees"
    )


def _controls(s: Subject) -> str:
    q, box = s.queries[0], s.queries[0].plan.vocabulary
    if box.discrete:
        ends: list[Action] = [Action(p.name) for p in box.primitives if p.yaw_deg][:2]
    else:
        ends = [Action(box.name, end) for end in (box.low, box.high)]
    left, right = s.model.simulate([replace(q, plan=box.plan([end] * len(q.plan))) for end in ends])
    sides = "left and right turns" if box.discrete else "commands to opposite corners"
    return Note(f"{sides} look {'the same' if same(left, right) else 'different'}")


CHECKS = (
    Check(
        "control.roundtrip",
        "plans survive translation",
        "let `translator(vocabulary)` encode no two plans alike and decode what it encodes; name actions, do not count them",
        _round_trip,
    ),
    Check(
        "plan.one",
        "a plan of one action",
        "answer plans of any length from 1; pad inside and cut what was not asked for",
        _one_action,
    ),
    Check(
        "plan.double",
        "twice the actions, twice the frames",
        "return one frame for each action whatever your video's length, or refuse the plan with a ModelError",
        _doubled,
    ),
    Check("plan.prefix", "what is seen first does not change", "", _prefix),
    Check(
        "view",
        "frames say their field of view",
        "pass hfov_deg of the observation on to the frames; where you always make another one, say it in the frames and "
        "in card.settings['hfov_deg']",
        _view,
    ),
    Check("pose.path", "poses against the plan", "", _path),
    Check(
        "controls",
        "controls",
        "answer plans that repeat one action",
        _controls,
    ),
)
