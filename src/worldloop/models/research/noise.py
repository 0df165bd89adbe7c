"""Noise by candidate: research samplers draw from torch's global generator, of which a batch has only one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from worldloop.core.errors import ModelError

OTHER_DRAWS = {
    *(torch.rand, torch.rand_like, torch.normal, torch.randint, torch.randint_like, torch.randperm),
    *(torch.bernoulli, torch.multinomial, torch.poisson, torch.Tensor.normal_, torch.Tensor.uniform_),
    *(torch.Tensor.bernoulli_, torch.Tensor.exponential_, torch.Tensor.random_, torch.Tensor.multinomial),
}
"""Draws that are not taken apart; with several candidates they would mix them up."""


class RowNoise(TorchFunctionMode):
    """Within it, `torch.randn` and `torch.randn_like` draw the rows of each candidate from its own seed.

    The first axis of what is drawn must be a whole multiple of the candidates, all rows of one candidate together.
    Noise is drawn on the CPU, so that it is the same on every device.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        super().__init__()
        self._generators = [torch.Generator().manual_seed(s) for s in seeds]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        settings = dict(kwargs or {})
        if func is torch.randn:
            sizes = settings.get("size", args)
            sizes = sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
            return self._drawn(tuple(sizes), settings.get("dtype"), settings.get("device"))
        if func is torch.randn_like:
            like = args[0] if args else settings["input"]
            return self._drawn(
                tuple(like.shape), settings.get("dtype") or like.dtype, settings.get("device") or like.device
            )
        if func in OTHER_DRAWS and len(self._generators) > 1:
            raise ModelError(
                f"its sampler draws with {func.__name__}, which candidates would share: give batch=1"
            )
        return func(*args, **settings)

    def _drawn(self, shape: tuple[int, ...], dtype: torch.dtype | None, device: Any) -> Tensor:
        count = len(self._generators)
        if count > 1 and (not shape or shape[0] % count):
            raise ModelError(f"its sampler draws noise of {list(shape)} for {count} candidates: give batch=1")
        part = (shape[0] // count, *shape[1:]) if shape else ()
        rows = [torch.randn(part, generator=g, dtype=torch.float32) for g in self._generators]
        whole = torch.cat(rows) if shape else rows[0]
        return whole.to(device=device, dtype=dtype or torch.get_default_dtype())


@contextmanager
def drawing(seeds: Sequence[int]) -> Iterator[None]:
    """Within it, what is drawn for each candidate depends on its seed alone; torch's own generators stay as they were."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices), RowNoise(seeds):
        torch.manual_seed(seeds[0])
        yield
