"""What a video model learns from a clip: to undo noise, and to sharpen what it decodes."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldloop.models.video import Condition, FlowConfig, VideoBackbone, flow_loss
from worldloop.models.video.context import Context
from worldloop.models.video.flow import clean_of
from worldloop.models.video.passage import towards, travelled
from worldloop.training.video.footage import ClipBatch

HIDDEN = re.compile(r"\.blocks\.\d+\.(attention|mlp)\.")
"""Names of the matrices between tokens and tokens."""


def hidden_matrices(model: nn.Module) -> list[str]:
    """Names of the parameters that the Muon optimiser is made for."""
    return [n for n, p in model.named_parameters() if p.ndim == 2 and HIDDEN.search(n)]


class ClipLoss(nn.Module):
    """The flow-matching loss of training clips; context frames stay clean and do not count.

    With a decoder, and batches that show pictures, the error of one sharpened frame per clip is added. It trains
    what sharpens alone: the decoded frame is taken as it is. Where the backbone forecasts which steps are free, that
    error is added, too.
    """

    def __init__(
        self,
        backbone: VideoBackbone,
        flow: FlowConfig,
        decode: Callable[[Tensor], Tensor] | None = None,
        changes: float = 0.0,
    ) -> None:
        """changes: how much more counts what differs from the present; see `change_weights`."""
        super().__init__()
        self.backbone, self.flow = backbone, flow
        self.decode, self.changes = decode, changes

    def forward(
        self, batch: ClipBatch, condition: Condition | None, past: Condition | None, seed: int
    ) -> Tensor:
        """Loss per clip [B], with noise and noise levels drawn from the seed."""
        shown = batch.shown
        pictures = None if shown is None else (shown.view, shown.around)
        context = self.backbone.context(batch.context, batch.panorama, past, pictures=pictures)
        generator = torch.Generator(batch.target.device).manual_seed(seed)
        clean = batch.target

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            nonlocal clean
            v = self.backbone(x, t, condition, context)
            clean = clean_of(x, v.detach(), t)
            return v

        weight = change_weights(batch.context[:, -1:], batch.target, self.changes) if self.changes else None
        loss = flow_loss(velocity, batch.target, self.flow, generator, weight=weight)
        if condition is not None and self.backbone.conditioner.passage is not None:
            loss = loss + self._blocking(batch, context)
        if shown is None or self.decode is None or condition is None:
            return loss
        return loss + self._sharpening(clean, batch, condition, context)

    def _blocking(self, batch: ClipBatch, context: Context) -> Tensor:
        """Error [B] of the forecast which of a clip's steps are free; it trains the forecast alone."""
        motions = self.backbone.conditioner.motions[batch.codes]
        places = torch.cat((torch.zeros_like(batch.poses[:, :1]), batch.poses), dim=1)
        walked, leads = travelled(places, motions)
        begins = towards(torch.cat((places[:, :-1, :2], places[:, 1:, 2:]), dim=2), motions)
        logits = self.backbone.passages(context)(begins)
        error = F.binary_cross_entropy_with_logits(logits, walked.to(logits), reduction="none")
        return (error * leads).sum(1) / leads.sum(1).clamp(min=1)

    def _sharpening(self, clean: Tensor, batch: ClipBatch, condition: Condition, context: Context) -> Tensor:
        """Error [B] of the frames that are shown, sharpened; 0 for clips without controls."""
        shown, decode = batch.shown, self.decode
        poses = self.backbone.conditioner.path(condition)
        assert shown is not None and decode is not None
        if poses is None and condition.vectors is None:
            return clean.new_zeros(len(clean))
        rows = torch.arange(len(clean), device=clean.device)
        with torch.no_grad():
            decoded = decode(clean[rows, shown.which])
        at = None if poses is None else poses[rows, shown.which][:, None]
        sharp = self.backbone.sharpened(decoded[:, None], at, context)
        error = picture_error(sharp[:, 0], shown.truth)
        return error if condition.keep is None else error * condition.keep


def change_weights(present: Tensor, target: Tensor, changes: float) -> Tensor:
    """[B,T,1,h,w], 1 on average over a clip: what differs from the present [B,1,C,h,w] counts more.

    A place counts 1 + `changes` times its squared difference, in units of the clip's mean: for a camera that stands still,
    before which little moves, and that little is what matters.
    """
    gap = (target - present).square().mean(dim=2, keepdim=True)
    mean = gap.mean(dim=(1, 2, 3, 4), keepdim=True)
    weight = 1 + changes * gap / mean.clamp(min=1e-6)
    return weight / weight.mean(dim=(1, 2, 3, 4), keepdim=True)


def picture_error(pictures: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error [B] of pictures [B,3,H,W] and of their differences between neighbours, so edges count."""
    error = pictures - truth
    parts = (error, error.diff(dim=2), error.diff(dim=3))
    return torch.stack([p.abs().flatten(1).mean(1) for p in parts]).sum(0)
