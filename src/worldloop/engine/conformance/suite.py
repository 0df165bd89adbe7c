"""The suite: every check in order, each on its own feet."""

from __future__ import annotations

from worldloop.core import InputError, WorldModel
from worldloop.engine.conformance import contract, odd, plans, sameness
from worldloop.engine.conformance.contract import memory_now
from worldloop.engine.conformance.questions import usual_scene
from worldloop.engine.conformance.report import Check, CheckItem, CheckReport, Note, Skipped
from worldloop.engine.conformance.subject import Subject


def _time(s: Subject) -> str:
    together = s.report.seconds_per_rollout
    assert together is not None
    alone = "" if s.seconds_alone is None else f"; {1e3 * s.seconds_alone:.1f} ms asked alone"
    return Note(f"{1e3 * together:.1f} ms per rollout, {s.count} in a batch{alone}")


def _memory(s: Subject) -> str:
    now = memory_now()
    if not now:
        raise Skipped("this system does not say")
    # A peak that was reached before, while the model was loaded say, hides a lower one.
    grown = now.get("resident", 0.0) - s.memory.get("resident", 0.0)
    gpu = f"; peak on the GPU {now['gpu'] / 2**20:.0f} MiB" if "gpu" in now else ""
    return Note(f"the peak of this process grew by {grown / 2**20:.0f} MiB{gpu}")


CHECKS: tuple[Check, ...] = (
    *contract.CHECKS,
    *sameness.CHECKS,
    *plans.CHECKS,
    *odd.CHECKS,
    Check("time", "time", "", _time),
    Check("memory", "memory", "", _memory),
)
"""In the order in which they are made. The questions stay unchanged by all but a model that writes into them."""


def check_model(model: WorldModel, scene: str | None = None, horizon: int = 4, count: int = 4) -> CheckReport:
    """Ask a model `count` questions in a scene: alone, together, twice, in another order, and oddly.

    Without a scene, in a house or at a table, as the model can be asked. Raises InputError for an unknown scene;
    whatever the model does wrong is reported, not raised.
    """
    if not 1 <= horizon <= 1000:
        raise InputError(f"--horizon must lie between 1 and 1000, got {horizon}")
    if count < 2:
        raise InputError(f"a batch has at least two questions, not {count}")
    card, why = model.card, ""
    report = CheckReport(card.name, card.weights_hash)
    subject = Subject(model, scene or "", horizon, count, report)
    for check in CHECKS:
        if not why and check.id == "answers":
            if not card.imagines:
                why = "this model imagines nothing"
            else:
                subject.scene = subject.scene or usual_scene(model)
                subject.draw()
        if why:
            report.items.append(CheckItem(check.id, check.name, "skip", why))
            continue
        item = _outcome(check, subject)
        report.items.append(item)
        if item.result == "fail" and check.gate:
            why = f"after {check.id} is put right"
    return report


def _outcome(check: Check, subject: Subject) -> CheckItem:
    try:
        said = check.test(subject)
    except Skipped as reason:
        return CheckItem(check.id, check.name, "skip", str(reason))
    except AssertionError as problem:
        return CheckItem(check.id, check.name, "fail", str(problem), check.advice)
    except Exception as problem:  # noqa: BLE001 - a foreign model may raise anything
        detail = f"{type(problem).__name__}: {problem}"
        return CheckItem(check.id, check.name, "fail", detail, check.advice or "answer without an error")
    return CheckItem(check.id, check.name, "note" if isinstance(said, Note) else "pass", str(said))
