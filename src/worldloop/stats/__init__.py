"""Intervals and paired tests: numbers in, numbers out."""

from worldloop.stats.bootstrap import (
    STUDENT,
    PairedDifference,
    fewest_clusters,
    mean_interval,
    paired_difference,
)
from worldloop.stats.correlation import FEWEST, Outcomes, correlation_gap, model_correlation
from worldloop.stats.estimate import Estimate
from worldloop.stats.navigation import spl
from worldloop.stats.nested import nested_interval
from worldloop.stats.ranks import Stability, normalise, under_scenes, under_weights
from worldloop.stats.rates import holm, mcnemar_exact, wilson
from worldloop.stats.sequential import (
    PairedBets,
    SequentialVerdict,
    check_margin,
    scene_order,
    sequential_verdict,
)
from worldloop.stats.trend import spearman_trend
from worldloop.stats.utility import utility

__all__ = [
    "FEWEST",
    "STUDENT",
    "Estimate",
    "Outcomes",
    "PairedBets",
    "PairedDifference",
    "SequentialVerdict",
    "Stability",
    "check_margin",
    "correlation_gap",
    "fewest_clusters",
    "holm",
    "mcnemar_exact",
    "mean_interval",
    "model_correlation",
    "nested_interval",
    "normalise",
    "paired_difference",
    "scene_order",
    "sequential_verdict",
    "spearman_trend",
    "spl",
    "under_scenes",
    "under_weights",
    "utility",
    "wilson",
]
