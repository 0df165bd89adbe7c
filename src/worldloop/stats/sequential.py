"""Comparing two models while episodes come in: a verdict that may be looked for after every episode.

A gambler who bets on paired differences cannot multiply their stake by 2 / error under the null hypothesis, ever, with more
than half that probability, however often one looks (Ville's inequality). So evidence may be read at any time, and one may stop
as soon as it suffices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldloop.core import InputError, generator
from worldloop.stats.estimate import as_numbers, check_confidence

BETTER, WORSE, ALIKE, UNDECIDED = "better", "worse", "alike", "undecided"
BETS = (np.arange(32) + 0.5) / 32
"""Shares of the stake that are laid, all at once: no one knows the best one beforehand."""
SPREAD = BETS / BETS.sum()
"""How the stake is spread over them: lists are short, so a difference that can be found in one at all asks for a large bet."""
GRID = np.linspace(-1.0, 1.0, 201)
"""Differences that are tested for the interval; its bounds are such, the nearest ones that are excluded."""


@dataclass(frozen=True)
class SequentialVerdict:
    """What is known of a difference after some of the scenes."""

    verdict: str
    """`better`, `worse`, `alike` (within the margin) or `undecided`."""
    episodes: int
    """Paired episodes that were looked at until the verdict, or all of them."""
    scenes: int
    """Scenes they are in."""
    difference: float
    """Mean of a - b over these episodes."""
    low: float
    """Lower bound of the difference, valid at any time."""
    high: float
    """Upper bound of the difference, valid at any time."""
    evidence: float
    """By what factor the best gambler has multiplied the stake; 2 / (1 - confidence) is a verdict."""


def check_margin(margin: float | None) -> float | None:
    """The margin; InputError unless it is None or lies in (0, 1)."""
    if margin is not None and not 0 < margin < 1:
        raise InputError(f"margin is {margin}; a difference of success rates between 0 and 1, such as 0.1")
    return margin


class PairedBets:
    """Bets on the differences of scene after scene.

    The differences of a scene, in [-1, 1] each, are summed and divided by the largest number of episodes that a scene has: so
    each scene is one bet, and episodes of a scene may depend on one another in any way. Scenes are taken as independent draws.
    For each d of a grid there are two gamblers, who bet that the difference is larger, or smaller, than d. Each of them
    spreads the stake over 32 constant bets, more of it over the larger ones.

    Source: Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting"; the spread over
    constant bets is Cover's universal portfolio on a grid.
    """

    def __init__(self, largest: int, confidence: float = 0.95, margin: float | None = None) -> None:
        """largest: most episodes of a scene. margin: differences below it are `alike`; None looks for no such verdict.

        InputError for a confidence outside (0, 1), a margin outside (0, 1) or largest < 1.
        """
        if largest < 1:
            raise InputError(f"a scene has at least one episode, not {largest}")
        self.largest, self.margin = largest, check_margin(margin)
        self.needed = float(np.log(2 / (1 - check_confidence(confidence))))
        self._nulls = np.unique(np.concatenate([GRID, [] if margin is None else [-margin, margin]]))
        self._above = np.zeros((len(self._nulls), len(BETS)))
        self._below = np.zeros((len(self._nulls), len(BETS)))
        self.episodes = self.scenes = 0
        self._sum = 0.0
        self._low, self._high = -1.0, 1.0
        self._evidence = np.zeros((2, len(self._nulls)))
        """Log of what the gamblers on above and on below hold."""

    def add(self, differences: Sequence[float] | np.ndarray) -> None:
        """Take in all differences of one more scene. InputError for values outside [-1, 1], none or too many."""
        d = as_numbers(differences, "differences")
        if np.abs(d).max() > 1:
            raise InputError("differences of outcomes lie between -1 and 1; scale the outcomes to [0, 1]")
        if len(d) > self.largest:
            raise InputError(
                f"a scene has {len(d)} episodes, more than the {self.largest} that were announced"
            )
        # s = sum of (d - null) / largest lies in [-(1 + null), 1 - null]: the stake is never lost as a whole.
        gain = (d.sum() - len(d) * self._nulls) / self.largest
        room_above = np.maximum(1 + self._nulls, 1e-9)
        room_below = np.maximum(1 - self._nulls, 1e-9)
        self._above += np.log1p(gain[:, None] / room_above[:, None] * BETS)
        self._below += np.log1p(-gain[:, None] / room_below[:, None] * BETS)
        self.episodes, self.scenes, self._sum = self.episodes + len(d), self.scenes + 1, self._sum + d.sum()
        self._evidence = np.stack([_wealth(self._above), _wealth(self._below)])
        # Evidence for "more than d" falls with d, and that for "less than d" rises. So all below the largest d that is excluded from
        # below is excluded too, and what lies between that d and the next one of the grid may be the truth.
        above, below = self._evidence >= self.needed
        low = float(self._nulls[above].max(initial=-1.0))
        high = float(self._nulls[below].min(initial=1.0))
        # Bounds only ever close in: what was excluded once stays so.
        low, high = max(self._low, low), min(self._high, high)
        if low <= high:
            self._low, self._high = low, high

    @property
    def state(self) -> SequentialVerdict:
        """The verdict now. It may be asked for after every scene without harm."""
        above, below = self._evidence
        zero = int(np.searchsorted(self._nulls, 0.0))
        verdict = UNDECIDED
        if above[zero] >= self.needed or below[zero] >= self.needed:
            verdict = BETTER if above[zero] > below[zero] else WORSE
        elif self.margin is not None:
            plus, minus = (int(np.searchsorted(self._nulls, m)) for m in (self.margin, -self.margin))
            if below[plus] >= self.needed and above[minus] >= self.needed:
                verdict = ALIKE
        return SequentialVerdict(
            verdict,
            self.episodes,
            self.scenes,
            self._sum / self.episodes if self.episodes else 0.0,
            self._low,
            self._high,
            float(np.exp(min(700.0, max(above[zero], below[zero])))),
        )


def scene_order(scenes: Sequence[Any], seed: int = 0) -> list[str]:
    """The distinct scenes in the order in which they are looked at: drawn by the seed, whatever the order given."""
    distinct = sorted({str(s) for s in scenes})
    return [distinct[i] for i in generator("sequential", seed).permutation(len(distinct))]


def sequential_verdict(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    scenes: Sequence[Any] | np.ndarray | None = None,
    confidence: float = 0.95,
    margin: float | None = None,
    seed: int = 0,
    done: Sequence[bool] | np.ndarray | None = None,
) -> SequentialVerdict:
    """Scene after scene until a comparison is decided, or there are no more.

    a, b: float [n] in [0, 1], outcomes of the same episodes in the same order. scenes: label of each (None: every episode
    is one of its own). The order of the scenes is drawn by the seed and does not depend on outcomes or on the order given.
    done: which episodes have outcomes (None: all); the first scene that lacks one is the end, whatever came after it, since
    what finishes first is no fair sample. InputError for lengths that differ and for outcomes that are not finite.
    """
    x, y = as_numbers(a, "a"), as_numbers(b, "b")
    if x.shape != y.shape:
        raise InputError(f"a has {len(x)} outcomes and b {len(y)}; pair the same episodes in the same order")
    labels = [f"{i:09d}" for i in range(len(x))] if scenes is None else [str(s) for s in scenes]
    for name, given in (("scene labels", labels), ("marks of what is done", done)):
        if given is not None and len(given) != len(x):
            raise InputError(f"{len(given)} {name} for {len(x)} outcomes; give one for each")
    members: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        members.setdefault(label, []).append(i)
    bets = PairedBets(max(map(len, members.values())), confidence, margin)
    state = bets.state
    there = np.ones(len(x), bool) if done is None else np.asarray(done, bool)
    for scene in scene_order(labels, seed):
        if not there[members[scene]].all():
            break
        bets.add((x - y)[members[scene]])
        state = bets.state
        if state.verdict != UNDECIDED:
            break
    return state


def _wealth(logs: np.ndarray) -> np.ndarray:
    """Log of the whole stake over all bets, [nulls]."""
    most = logs.max(axis=1)
    return most + np.log(np.exp(logs - most[:, None]) @ SPREAD)
