"""Settings of a world model from a pipeline of diffusers, as they are written on the command line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from worldloop.core import InputError

CONTROLS = ("text", "code", "camera", "none")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ACTIONS = "{actions}"
"""Where a template says what the actions are."""


@dataclass(frozen=True)
class DiffusersConfig:
    """`--model diffusers:folder=PATH,key=value,...`"""

    folder: str
    """Folder of the pipeline, with its `model_index.json`."""
    control: str | None = None
    """`text`, `code`, `camera` or `none`; None takes what the adapter was trained on, else what the pipeline reads."""
    lora: str | None = None
    """Adapter: what `worldloop train sft --base FOLDER` wrote, or a safetensors file, or a folder with one."""
    lora_2: str | None = None
    """The same for the second transformer of Wan 2.2 A14B."""
    steps: int | None = None
    """Denoising steps; None takes the pipeline's own number."""
    guidance: float | None = None
    """Scale of classifier-free guidance, 1 for none; None takes the pipeline's own."""
    template: str = ACTIONS
    """The prompt, or a file with it; `{actions}` stands for the sentences that describe the plan."""
    negative: str | None = None
    """Negative prompt, or a file with it; None takes the pipeline's own."""
    size: str | int | None = None
    """Rows x columns of the video, such as 480x832, or one number for both; None keeps the aspect of the observation at
    the pipeline's own number of pixels. For Cosmos 3 one number, its resolution tier."""
    frames: int | None = None
    """Frames of every video; the plan's actions are spread evenly over them. Not together with `frames_per_action`."""
    frames_per_action: int | None = None
    """Frames of video for each action; None takes 1 for adapters that worldloop trained, else the pipeline's own."""
    batch: int | None = None
    """Candidates at once, at most; None takes 8 on a GPU and 1 on the CPU."""
    dtype: str = "auto"
    """`fp32`, `bf16` or `fp16`; `auto` is bf16 on a GPU that can do it, else fp32."""
    device: str = "auto"
    """`auto` is `cuda` where there is one."""
    offload: bool = False
    """Keep in the GPU's memory only the part that is computing."""
    fp8: bool = False
    """Store the transformer's weights in 8 bits; they are widened layer by layer."""
    compile: bool = False
    """Compile the transformer's repeated blocks."""
    cache: float | None = None
    """Threshold of the first-block cache: steps that change less are skipped."""
    attention: str | None = None
    """Name of an attention backend of diffusers that is installed, such as `flash`."""
    safety: bool = True
    """Run the safety checker of Cosmos pipelines."""
    scale: float = 1.0
    """What Cosmos 3's translations in metres are multiplied with."""

    def __post_init__(self) -> None:
        if self.control not in (None, *CONTROLS):
            raise InputError(f"diffusers: control is one of {', '.join(CONTROLS)}, got {self.control!r}")
        for name in ("steps", "frames", "frames_per_action", "batch"):
            number = getattr(self, name)
            if number is not None and (type(number) is not int or number < 1):
                raise InputError(f"diffusers: {name} is a positive whole number, got {number!r}")
        for name in ("offload", "fp8", "compile", "safety"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"diffusers: {name} is true or false, got {getattr(self, name)!r}")
        for name in ("guidance", "cache", "scale"):
            number = getattr(self, name)
            real = isinstance(number, (int, float)) and math.isfinite(number) and number >= 0
            if number is not None and (not real or isinstance(number, bool)):
                raise InputError(f"diffusers: {name} is a number, 0 or greater, got {number!r}")
        if self.dtype not in ("auto", *DTYPES):
            raise InputError(f"diffusers: dtype is auto, {', '.join(DTYPES)}, got {self.dtype!r}")
        if self.frames is not None and self.frames_per_action is not None:
            raise InputError("diffusers: give frames or frames_per_action, not both")
        if self.attention is not None and self.attention.endswith("_hub"):
            raise InputError(
                f"diffusers: attention={self.attention} would download code; install a backend and name it, such as flash"
            )
        self.pixels()

    def pixels(self) -> tuple[int, int] | None:
        """Rows and columns that were asked for; InputError for what is neither."""
        if self.size is None:
            return None
        parts = str(self.size).lower().split("x")
        if len(parts) > 2 or not all(p.isdecimal() and int(p) > 0 for p in parts):
            raise InputError(f"diffusers: size is rows x columns such as 480x832, got {self.size!r}")
        return int(parts[0]), int(parts[-1])

    def text(self, name: str) -> str | None:
        """`template` or `negative`: the setting itself, or what the file of that name holds."""
        given = getattr(self, name)
        if given is None or not _is_file(str(given)):
            return None if given is None else str(given)
        try:
            return Path(given).read_text().strip()
        except (OSError, UnicodeError) as error:
            raise InputError(f"{given} cannot be read as a {name}: {error}") from None

    def torch_device(self) -> torch.device:
        """The device; InputError for one that is not there."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self.device)
        except (RuntimeError, TypeError) as error:
            raise InputError(f"no such device {self.device!r}; use cpu or cuda") from error
        if device.type == "cuda" and not torch.cuda.is_available():
            raise InputError("this torch finds no GPU; use device=cpu")
        if self.offload and device.type == "cpu":
            raise InputError("offload=true moves parts between GPU and CPU; leave it out with device=cpu")
        return device

    def torch_dtype(self, device: torch.device) -> torch.dtype:
        """What weights are kept and computed in."""
        if self.dtype != "auto":
            return DTYPES[self.dtype]
        wide = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if wide else torch.float32


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False  # a prompt may be longer than a file's name can be
