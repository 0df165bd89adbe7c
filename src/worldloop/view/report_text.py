"""The report's sentences: what a task's table says, in words that claim no more than the table does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from worldloop.stats import Estimate, PairedDifference
from worldloop.tasks import TASKS
from worldloop.view.leaderboard_table import Row, TaskBoard

CONTROLS = {
    "none": "No world model at all: the agent carries out its first plan. Every difference is measured against it.",
    "oracle": "The simulator itself, which is perfect imagination. It shows how much a world model could add.",
    "frozen": "Imagines that nothing changes. Help from it would come from the loop, not from prediction.",
    "shuffled": "Shows the true future of another plan: sharp pictures that answer the wrong question.",
    "blind": "Shows one and the same future for every plan: pictures that ignore the actions.",
    "rotate-only": "Turns are right, steps are ignored: what can be had from looking around alone.",
    "oracle-blur": "The true future, blurred: ugly, but it obeys the actions.",
    "oracle-wrong": "The true future of other actions: beautiful, but it does not obey.",
}
"""What each registered control is there for; any other model is one whose use is in question."""

TASKS_EXPLAINED = {
    "active-recognition": "A thing in a house, boxed in red, is far away, half hidden or seen from an odd side. The agent walks to "
    "better views and names it. It succeeds if the name is right; a world model can show which way the view improves.",
    "image-goal": "The agent gets a picture that was taken somewhere in a house, and looks for that place. It succeeds if it stops "
    "within half a metre of it; a world model can show which way leads to a view like the goal.",
    "embodied-qa": "The agent is asked a question about a house and walks until it can answer. A judge grades the answer from 1 to 5; "
    "it succeeds with a 5. A world model can show where the evidence may be seen.",
    "manipulation": "A Franka arm is told in words what to do with the things on a table: push, stack, press, or pick and place. A plan "
    "is a row of waypoints for the hand: x, y, z (m), roll, pitch, yaw (degrees), and 1 for an open or 0 for a closed gripper. It succeeds when the things are where they should be; a world model can show where they "
    "would end up.",
    "gym": "A Gymnasium environment; an episode is a seed, and the score is the sum of all rewards. It succeeds by what the environment "
    "calls a success, else by a sum of rewards that is enough. A world model can show what a plan leads to and what it earns.",
    "libero": "A Franka arm is told in words what to do (LIBERO), and begins at one of the published initial states. A plan is a row of "
    "small moves of the hand. It succeeds by LIBERO's own test; a world model can show where the moves lead.",
    "rlbench": "A Franka arm is told in words what to do (RLBench). A plan is a row of poses of the hand, each reached before the next. It "
    "succeeds by RLBench's own test; a world model can show what the poses bring about.",
}
"""How a registered task goes, and what imagination could be good for in it."""


@dataclass(frozen=True)
class Verdict:
    """One sentence about one model."""

    kind: str
    """One of the leaderboard's `VERDICTS`, or `scale` for what the others must be read against."""
    sentence: Markup


def percent(rate: float) -> str:
    """`35.4 %` for 0.354, with a space that does not break."""
    return f"{_trimmed(100 * rate)}\u00a0%"


def points(difference: float, sign: bool = True) -> str:
    """Percentage points with a sign, `+15.3` for 0.153."""
    text = _trimmed(100 * abs(difference))
    if not sign or text == "0":
        return text
    return ("+" if difference > 0 else "−") + text


def _trimmed(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def task_summary(task: str) -> str:
    """How a task goes; for one that is registered by others, its summary, and for an unknown one an empty string."""
    kind = task.partition(":")[0]  # `gym:CartPole-v1` is one of a kind
    if kind in TASKS_EXPLAINED:
        return TASKS_EXPLAINED[kind]
    return f"The task: {TASKS.summary(task)}." if task in TASKS.names() else ""


def verdicts(board: TaskBoard) -> list[Verdict]:
    """One sentence for each model in question; for the controls where there is no other model."""
    asked = [r for r in board.rows if r.model not in CONTROLS]
    shown = asked or [r for r in board.rows if r.model != board.baseline] or board.rows
    out = [Verdict(r.verdict, _sentence(board, r)) for r in shown]
    return [*out, *_ceiling(board)] if asked else out


def _sentence(board: TaskBoard, row: Row) -> Markup:
    opening = Markup("On <b>{}</b>, <code>{}</code> ").format(board.task, row.label)
    baseline = next((r for r in board.rows if r.model == board.baseline), None)
    if not row.complete or row.success_rate is None or row.success_rate.value is None:
        return opening + Markup(
            "has not finished: {} of {} episodes have an outcome, too early for a verdict."
        ).format(row.n, row.total)
    rate = row.success_rate.value
    if row is baseline:
        return opening + Markup("succeeded in {} of {} episodes{}.").format(
            percent(rate), row.n, _interval(row.success_rate)
        )
    if row.difference is None or baseline is None or baseline.success_rate is None:
        return opening + Markup(
            "succeeded in {}{} of {} episodes. Whether it helped cannot be said: the run without a world model "
            "(<code>{}</code>) is missing or unfinished."
        ).format(percent(rate), _interval(row.success_rate), row.n, board.baseline)
    return opening + _compared(board, row, row.difference, baseline, rate)


def _compared(board: TaskBoard, row: Row, found: PairedDifference, baseline: Row, rate: float) -> Markup:
    before = baseline.success_rate.value if baseline.success_rate else None
    base = percent(before or 0.0)
    bracket = _difference(found)
    if row.verdict in ("better", "worse"):
        verb = "raised" if row.verdict == "better" else "lowered"
        text = Markup("{} the success rate from {} to {} ({}).").format(verb, base, percent(rate), bracket)
    else:
        text = Markup(
            "made no difference that these episodes can show: {} with it, {} without ({}). {}"
        ).format(percent(rate), base, bracket, _open(found, row))
    return text + _privileges(board, row) + _failures(row)


def _difference(found: PairedDifference) -> str:
    parts = [f"paired difference {points(found.value or 0.0)} points"]
    if found.low is not None and found.high is not None:
        parts.append(f"{100 * found.confidence:g} % interval {points(found.low)} to {points(found.high)}")
    return ", ".join([*parts, f"{found.n} episode{'s' * (found.n != 1)}"])


def _open(found: PairedDifference, row: Row) -> str:
    """What the data leave open, so that no reader takes "not shown" for "shown not to be"."""
    if found.low is None or found.high is None:
        return "No interval could be made, so this says little either way."
    if found.low > 0 or found.high < 0:
        p = f"p = {row.p_holm:.2g}" if row.p_holm is not None else "the test"
        return (
            f"The interval lies on one side of zero, but the test over all models does not confirm it ({p})."
        )
    return f"Anything from {_change(found.low)} to {_change(found.high)} would fit what was seen."


def _change(value: float) -> str:
    if points(value) == "0":
        return "no change"
    size = points(value, sign=False)
    return f"{size} points {'better' if value > 0 else 'worse'}"


def _privileges(board: TaskBoard, row: Row) -> str:
    own = [p for p in row.privileges if any(p not in r.privileges for r in board.rows)]
    if not own or row.model in CONTROLS:
        return ""
    return f" It had help: it {' and '.join(board.privileges[p] for p in own)}."


def _failures(row: Row) -> str:
    parts = [f"{n} {status.replace('_', ' ')}" for status, n in row.not_finished.items() if n]
    if not parts:
        return ""
    return f" Beware: of its {row.n} episodes {' and '.join(parts)}; these count as failures."


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" ({100 * estimate.confidence:g} % interval {percent(estimate.low)} to {percent(estimate.high)})"


def _ceiling(board: TaskBoard) -> Sequence[Verdict]:
    """Whether there was anything to gain, which the verdicts above must be read against."""
    rates = {r.model: r.success_rate.value for r in board.rows if r.success_rate is not None}
    best, base = rates.get(board.ceiling), rates.get(board.baseline)
    if best is None or base is None:
        return ()
    if best <= base:
        text = Markup(
            "On <b>{}</b>, even perfect imagination (<code>{}</code>) did no better than acting without a model "
            "({} against {}), so these episodes cannot tell a good world model from a bad one."
        ).format(board.task, board.ceiling, percent(best), percent(base))
    else:
        text = Markup(
            "For scale on <b>{}</b>: perfect imagination (<code>{}</code>) succeeded in {} of episodes, acting "
            "without a model in {}."
        ).format(board.task, board.ceiling, percent(best), percent(base))
    return (Verdict("scale", text),)
