"""Open-loop metrics: how a world model's frames compare with what really comes."""

from worldloop.metrics.open_loop import OpenLoopScore, Trial, draw_trials, score_model

__all__ = ["OpenLoopScore", "Trial", "draw_trials", "score_model"]
