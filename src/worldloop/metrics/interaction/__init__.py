"""Interaction: what acting changes, against the twin of doing nothing."""

from worldloop.metrics.interaction import counterfactual

__all__ = ["counterfactual"]
