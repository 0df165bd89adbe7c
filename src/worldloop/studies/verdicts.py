"""From samples to estimates, and from intervals to sentences. Nothing here knows what the answer should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from worldloop.stats import Estimate, nested_interval, paired_difference, spearman_trend, wilson
from worldloop.studies.result import (
    NOT_MEASURED,
    NOT_SHOWN,
    OPPOSITE,
    SHOWN,
    Contrast,
    Finding,
    is_percent,
    is_success,
)

CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Sample:
    """What one arm did in the fixed list of n episodes or trials."""

    values: np.ndarray
    """float64 [n]; 0 or 1 for success; NaN for a trial that says nothing."""
    scenes: tuple[str, ...]
    """[n]"""
    failed: str = ""
    """Why nothing was measured: no episode finished."""

    def only(self, style: str) -> Sample:
        """The part in scenes of one style."""
        kept = [i for i, scene in enumerate(self.scenes) if f"/{style}/" in scene]
        return replace(self, values=self.values[kept], scenes=tuple(self.scenes[i] for i in kept))


def estimate(measure: str, sample: Sample, confidence: float = CONFIDENCE) -> Estimate:
    """Wilson's interval for success; else the mean with a bootstrap over scenes, then trials."""
    if not len(sample.values) or np.isnan(sample.values).all():
        return Estimate(None, None, None, confidence, 0, 0, "none", "no episode or trial to count")
    if is_success(measure):
        return wilson(int(sample.values.sum()), len(sample.values), confidence)
    good = ~np.isnan(sample.values)
    return nested_interval(sample.values[good], _kept(sample.scenes, good), confidence)


def contrast(
    measure: str, a: tuple[str, Sample], b: tuple[str, Sample], confidence: float = CONFIDENCE
) -> Contrast:
    """`a` minus `b`, each a name with its sample, over what both went through."""
    (minuend, x), (subtrahend, y) = a, b
    assert x.scenes == y.scenes, "arms of a study share their lists"
    good = ~np.isnan(x.values + y.values)
    if not good.any():
        nothing = Estimate(None, None, None, confidence, 0, 0, "none", "no episode or trial to count")
        return Contrast(minuend, subtrahend, nothing)
    left, right, scenes = x.values[good], y.values[good], _kept(x.scenes, good)
    found: Estimate
    if is_success(measure):
        found = paired_difference(left, right, scenes, confidence)
    else:
        found = nested_interval(left - right, scenes, confidence)
    return Contrast(minuend, subtrahend, found)


def rises(measure: str, samples: Mapping[str, Sample], doses: Sequence[float], quantity: str) -> Finding:
    """Whether a measure rises with a dose: the trend and the last arm minus the first are both above 0.

    `samples` by arm, in the order of the doses, which increase.
    """
    arms = list(samples.items())
    if failed := _failed(measure, samples):
        return failed
    others = [contrast(measure, arm, arms[0]) for arm in arms[:0:-1]]
    good = ~np.isnan(np.sum([s.values for s in samples.values()], axis=0))
    if not good.any():
        return Finding(measure, NOT_MEASURED, f"{measure} is not measured: no trial counts", tuple(others))
    trend = spearman_trend(
        doses,
        [s.values[good] for s in samples.values()],
        _kept(arms[0][1].scenes, good),
        nested=not is_success(measure),
    )
    ends, order = side_of(others[0].difference), side_of(trend)
    numbers = f"Spearman {signed(trend, 2)}, {_difference(measure, others[0])}"
    if ends == order == 1:
        status, sentence = SHOWN, f"{measure} rises with {quantity}: {numbers}"
    elif ends == order == -1:
        status, sentence = OPPOSITE, f"{measure} falls with {quantity}: {numbers}"
    else:
        status = NOT_SHOWN
        sentence = f"{measure} is not shown to rise with {quantity}: {numbers}"
        if ends and not order:
            sentence += " (the ends differ, the order in between is not settled)"
    return Finding(measure, status, sentence, tuple(others), trend)


def beats(measure: str, a: tuple[str, Sample], b: tuple[str, Sample], where: str = "") -> Finding:
    """Whether arm `a` is above arm `b`."""
    if failed := _failed(measure, dict((a, b))):
        return failed
    found = contrast(measure, a, b)
    if found.difference.value is None:
        return Finding(measure, NOT_MEASURED, f"{measure}{where} is not measured: nothing to count", (found,))
    side, numbers = side_of(found.difference), shown(measure, found.difference, signed=True)
    if not found.difference.defined:
        numbers += f" (no interval: {found.difference.note})"
    place = f"{measure}{where}"
    if side > 0:
        return Finding(measure, SHOWN, f"{a[0]} beats {b[0]} in {place}: {numbers}", (found,))
    if side < 0:
        return Finding(measure, OPPOSITE, f"{a[0]} is worse than {b[0]} in {place}: {numbers}", (found,))
    return Finding(measure, NOT_SHOWN, f"{a[0]} is not shown to beat {b[0]} in {place}: {numbers}", (found,))


def best_of(measure: str, samples: Mapping[str, Sample]) -> Finding:
    """Which of k arms is best: the leader must beat every other one, at Bonferroni's level over all pairs."""
    if failed := _failed(measure, samples):
        return failed
    means = {name: float(np.nanmean(s.values)) for name, s in samples.items() if not _empty(s)}
    if len(means) < 2:
        return Finding(measure, NOT_MEASURED, f"{measure} is not measured: no trial counts")
    order = sorted(means, key=lambda name: -means[name])
    pairs = list(combinations(order, 2))
    level = 1 - (1 - CONFIDENCE) / len(pairs)
    found = [contrast(measure, (a, samples[a]), (b, samples[b]), level) for a, b in pairs]
    leads = [c for c in found if c.minuend == order[0]]
    numbers = ", ".join(_difference(measure, c) for c in leads)
    level_note = f"intervals of {100 * level:.1f} %" if len(pairs) > 1 else ""
    tail = f" ({level_note})" if level_note else ""
    if all(side_of(c.difference) > 0 for c in leads):
        return Finding(measure, SHOWN, f"{order[0]} is best in {measure}: {numbers}{tail}", tuple(found))
    sentence = f"none is shown to be best in {measure}: {numbers}{tail}"
    return Finding(measure, NOT_SHOWN, sentence, tuple(found))


def headline(findings: Sequence[Finding]) -> str:
    """The verdict: how many of the deciding findings are shown, and what they say."""
    deciding = [f for f in findings if f.deciding]
    open_loop = "" if any(is_success(f.measure) for f in deciding) else " (open loop only)"
    return f"{verdict_word(findings)}{open_loop}: {'; '.join(f.sentence for f in deciding)}"


def verdict_word(findings: Sequence[Finding]) -> str:
    """`reproduced`, `reproduced in part`, `not shown`, `mixed`, `contradicted` or `not measured`, by the deciding findings."""
    statuses = [f.status for f in findings if f.deciding]
    if NOT_MEASURED in statuses:
        return "not measured"
    if OPPOSITE in statuses:
        return "mixed" if SHOWN in statuses else "contradicted"
    if all(s == SHOWN for s in statuses):
        return "reproduced"
    return "reproduced in part" if SHOWN in statuses else "not shown"


def shown(measure: str, found: Estimate, signed: bool = False) -> str:
    """A value with its interval: `62.5 % [54.4, 70.0]`, or with a sign `+18.1 points [+9.0, +27.1]`."""
    if found.value is None:
        return "undefined"
    scale, digits = (100.0, 1) if is_percent(measure) else (1.0, 3)
    plus = "+" if signed else ""
    unit = (" points" if signed else " %") if is_percent(measure) else ""
    text = f"{scale * found.value:{plus}.{digits}f}{unit}"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{scale * found.low:{plus}.{digits}f}, {scale * found.high:{plus}.{digits}f}]"


def _difference(measure: str, c: Contrast) -> str:
    text = f"{c.minuend} minus {c.subtrahend} {shown(measure, c.difference, signed=True)}"
    return text if c.difference.defined else f"{text} (no interval: {c.difference.note})"


def signed(found: Estimate, digits: int) -> str:
    """A value with its sign and its interval: `+0.50 [+0.10, +0.97]`."""
    if found.value is None:
        return "undefined"
    text = f"{found.value:+.{digits}f}"
    if found.low is None or found.high is None:
        return f"{text} (no interval: {found.note})"
    return f"{text} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"


def side_of(found: Estimate) -> int:
    """1 above 0, -1 below, 0 where the interval includes 0 or does not exist."""
    if found.low is None or found.high is None:
        return 0
    return 1 if found.low > 0 else -1 if found.high < 0 else 0


def _failed(measure: str, samples: Mapping[str, Sample]) -> Finding | None:
    for name, sample in samples.items():
        if sample.failed:
            sentence = f"{measure} is not measured: no episode of {name} finished ({sample.failed})"
            return Finding(measure, NOT_MEASURED, sentence)
    return None


def _empty(sample: Sample) -> bool:
    return not len(sample.values) or bool(np.isnan(sample.values).all())


def _kept(scenes: Sequence[str], good: np.ndarray) -> list[str]:
    return [s for s, k in zip(scenes, good) if k]
