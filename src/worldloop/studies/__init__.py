"""Studies: recipes that reproduce a published finding end to end (World-In-World, arXiv 2510.18135).

Each is a frozen settings class and a function that returns a `StudyResult` and writes it into a folder, beside the
models it trained and the runs it made. The same call goes on where it was cut off.
"""

from worldloop.studies.adaptation_vs_scale import AdaptationVsScale, adaptation_vs_scale
from worldloop.studies.adapters import Adaptation
from worldloop.studies.compute_scaling import ComputeScaling, compute_scaling
from worldloop.studies.control_format import ControlFormat, control_format
from worldloop.studies.controllability_vs_quality import (
    ControllabilityVsQuality,
    controllability_vs_quality,
)
from worldloop.studies.data_scaling import DataScaling, data_scaling
from worldloop.studies.evaluation import Evaluation
from worldloop.studies.result import Arm, Contrast, Finding, Reference, StudyResult
from worldloop.studies.style_transfer import Ready, StyleTransfer, style_transfer

__all__ = [
    "Adaptation",
    "AdaptationVsScale",
    "Arm",
    "ComputeScaling",
    "Contrast",
    "ControlFormat",
    "ControllabilityVsQuality",
    "DataScaling",
    "Evaluation",
    "Finding",
    "Ready",
    "Reference",
    "StudyResult",
    "StyleTransfer",
    "adaptation_vs_scale",
    "compute_scaling",
    "control_format",
    "controllability_vs_quality",
    "data_scaling",
    "style_transfer",
]
