"""Actions for transformers that know only prompts: what each action is, added to the prompt's embeddings.

Token i of the prompt gets an embedding of action i, of its place i included. This works for every family, since all
of them read a prompt, and outside of training too, since every pipeline of diffusers takes `prompt_embeds`. The last
layer starts at zero: an untrained control leaves the prompt, and so the base's output, as they are. (Tokens appended
to the prompt would draw attention to themselves even if they were zero.)
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from worldloop.core import InputError

FORMAT = "worldloop-prompt-control-1"
CONTROL_FILE = Path("control") / "control.safetensors"
"""Of an adapted model, in a folder of its own: diffusers takes any file beside the adapter for another one."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """Prompt embeddings of B clips."""

    embeds: Tensor
    """[B,S,D]"""
    mask: Tensor | None = None
    """bool [B,S]: which tokens may be attended to; None where the family has no such mask."""


@dataclass(frozen=True)
class ControlConfig:
    """Settings of a `PromptControl`."""

    kind: str
    """`code` or `camera`."""
    width: int
    """Of a prompt embedding."""
    codes: int = 0
    """Number of actions; for `code`."""
    hidden: int = 128

    def __post_init__(self) -> None:
        if self.kind not in ("code", "camera") or self.width < 1 or self.hidden < 2 or self.hidden % 2:
            raise InputError(
                "a prompt control is code or camera, with a positive width and an even hidden one"
            )
        if self.kind == "code" and self.codes < 1:
            raise InputError("a code control knows at least one action")


class PromptControl(nn.Module):
    """Adds codes or poses of L actions to a prompt."""

    def __init__(self, config: ControlConfig) -> None:
        super().__init__()
        self.config = config
        self.code = nn.Embedding(config.codes + 1, config.hidden) if config.kind == "code" else None
        self.pose = nn.Linear(4, config.hidden) if config.kind == "camera" else None
        self.mix = nn.Linear(config.hidden, config.hidden)
        self.out = nn.Linear(config.hidden, config.width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, prompt: Prompt, actions: Tensor, keep: Tensor | None = None) -> Prompt:
        """The prompt with the actions in it.

        actions: int64 [B,L], 1 for the first action, for `code`; float [B,L,3] poses against the present camera
        (x ahead m, y left m, yaw rad) for `camera`. keep: bool [B], False withholds the actions of a clip.
        """
        length, tokens = actions.shape[1], prompt.embeds.shape[1]
        if length > tokens:
            raise InputError(f"{length} actions do not fit into a prompt of {tokens} tokens")
        if self.code is not None:
            what = self.code(actions)
        else:
            assert self.pose is not None
            yaw = actions[..., 2:]
            what = self.pose(torch.cat([actions[..., :2], yaw.cos(), yaw.sin()], -1))
        hidden = nn.functional.silu(what + self._places(length).to(what))
        added = self.out(nn.functional.silu(self.mix(hidden))).to(prompt.embeds.dtype)
        if keep is not None:
            added = added * keep[:, None, None]
        embeds = torch.cat([prompt.embeds[:, :length] + added, prompt.embeds[:, length:]], 1)
        return Prompt(embeds, self.widened(prompt.mask, length))

    @staticmethod
    def widened(mask: Tensor | None, length: int) -> Tensor | None:
        """The prompt's mask with the tokens of the actions in it, whether they are withheld or not."""
        return None if mask is None else mask | (torch.arange(mask.shape[1], device=mask.device) < length)

    def _places(self, length: int) -> Tensor:
        """Sines and cosines [L,hidden] of the places 0..L-1."""
        half = self.config.hidden // 2
        rates = torch.exp(-math.log(1000) * torch.arange(half) / half)
        angles = torch.arange(length)[:, None] * rates
        return torch.cat([angles.sin(), angles.cos()], 1)


def save_control(path: Path, control: PromptControl) -> None:
    """Write the control as one safetensors file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"format": FORMAT, "config": json.dumps(asdict(control.config))}
    state = {k: v.detach().cpu().contiguous() for k, v in control.state_dict().items()}
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(save(state, facts))
    temporary.replace(path)


def load_control(path: str | Path) -> PromptControl:
    """The control of an adapted model, in evaluation mode; InputError for any other file."""
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            state = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        if facts.get("format") != FORMAT:
            raise InputError(f"{path} is no prompt control of worldloop")
        control = PromptControl(ControlConfig(**json.loads(facts["config"])))
        control.load_state_dict(state)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        raise InputError(f"{path} cannot be read as a prompt control: {error}") from None
    return control.eval()
