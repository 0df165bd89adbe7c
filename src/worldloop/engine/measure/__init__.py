"""Measuring: ask models the questions of cases, score what they imagine, keep every score."""

from worldloop.engine.measure.measure import BASELINES, MeasureSettings, measure
from worldloop.engine.measure.subject import Answer, ModelSubject, Subject

__all__ = ["BASELINES", "Answer", "MeasureSettings", "ModelSubject", "Subject", "measure"]
