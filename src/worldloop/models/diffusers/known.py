"""The pipelines of diffusers that can be world models, by the class that a folder names."""

from __future__ import annotations

from worldloop.core import InputError
from worldloop.models.diffusers.cogvideox import CogVideoX
from worldloop.models.diffusers.cosmos import Cosmos2, Cosmos25
from worldloop.models.diffusers.cosmos3 import Cosmos3
from worldloop.models.diffusers.folder import PipelineFolder
from worldloop.models.diffusers.hunyuan import HunyuanVideo15
from worldloop.models.diffusers.ltx import LTX
from worldloop.models.diffusers.pipelines import VideoPipeline
from worldloop.models.diffusers.svd import StableVideoDiffusion
from worldloop.models.diffusers.wan import Wan

PIPELINES: tuple[type[VideoPipeline], ...] = (
    StableVideoDiffusion,
    Wan,
    LTX,
    HunyuanVideo15,
    CogVideoX,
    Cosmos2,
    Cosmos25,
    Cosmos3,
)


def pipeline_for(folder: PipelineFolder) -> type[VideoPipeline]:
    """The pipeline that a folder is for; InputError for an unknown one and for a folder with missing parts."""
    names = {name: p for p in PIPELINES for name in p.names}
    if folder.kind not in names:
        raise InputError(
            f"{folder.root} holds a {folder.kind}, which is not among the pipelines that can be world models: "
            f"{', '.join(names)}"
        )
    pipeline = names[folder.kind]
    missing = [part for part in pipeline.needs if part not in folder.parts]
    if missing:
        raise InputError(
            f"{folder.root} lacks {', '.join(missing)}, which a {folder.kind} needs; copy all of it"
        )
    return pipeline
