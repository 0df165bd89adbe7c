"""Which steps are free: learnt from what steps brought, and left out of the path where they are not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from worldloop.core import InputError
from worldloop.models.video import BackboneConfig, Condition, ConditioningConfig, VideoBackbone, VideoModel
from worldloop.models.video.passage import Passage, towards, travelled

from tiny_video import ask, backbone, checkpoint, latents, panorama

TURN = math.pi / 8
MOTIONS = ((0.2, 0.0, 0.0), (0.0, 0.0, TURN), (0.0, 0.0, -TURN))
HEADS = ConditioningConfig(codes=3, camera=True, motions=MOTIONS, passage=True)
CODES = torch.tensor([[1, 2, 1, 3]])


def decided(free: bool) -> VideoBackbone:
    """A backbone that holds all steps for free, or none."""
    model = backbone(HEADS)
    with torch.no_grad():
        model.conditioner.passage.last.weight.zero_()
        model.conditioner.passage.last.bias.fill_(9.0 if free else -9.0)
    return model


def test_free_steps_add_up_and_blocked_ones_do_not():
    context = backbone(HEADS).context(latents(1, 1), panorama())
    condition = Condition(codes=CODES)
    model = decided(True)
    free = model.placed([condition], context)[0]
    torch.testing.assert_close(free.poses, model.conditioner.path(condition))
    assert torch.equal(free.codes, CODES)
    blocked = decided(False).placed([condition], context)[0].poses[0]
    torch.testing.assert_close(
        blocked, torch.tensor([[0, 0, 0], [0, 0, TURN], [0, 0, TURN], [0, 0, 0]]), atol=1e-6, rtol=0
    )


def test_a_later_clip_begins_where_the_first_one_really_ended():
    context = backbone(HEADS).context(latents(1, 1), panorama())
    meant = Condition(codes=torch.tensor([[1]]), start=torch.tensor([[0.4, 0.1, 0.0]]))
    first, second = decided(False).placed([Condition(codes=CODES[:, :2]), meant], context)
    assert second.poses[0, 0].tolist() == pytest.approx([0, 0, TURN]) == first.poses[0, 1].tolist()
    whole = decided(True).placed([Condition(codes=CODES)], context)[0].poses
    parts = decided(True).placed([Condition(codes=CODES[:, :3]), Condition(codes=CODES[:, 3:])], context)
    torch.testing.assert_close(torch.cat([p.poses for p in parts], dim=1), whole)


def test_poses_that_are_given_and_models_without_the_head_are_left_alone():
    context = backbone(HEADS).context(latents(1, 1), panorama())
    given = Condition(codes=CODES, poses=torch.ones(1, 4, 3))
    assert decided(False).placed([given], context) == [given]
    plain = Condition(codes=CODES)
    assert backbone(replace(HEADS, passage=False)).placed([plain], context) == [plain]
    assert decided(False).placed([None], context) == [None]


def test_what_became_of_steps():
    places = torch.tensor([[[0.0, 0, 0], [0.2, 0, 0], [0.25, 0, 0], [0.25, 0, TURN]]])
    motions = torch.tensor([[MOTIONS[0], MOTIONS[0], MOTIONS[1]]])
    walked, leads = travelled(places, motions)
    torch.testing.assert_close(walked[0, :2], torch.tensor([1.0, 0.25]))
    assert leads.tolist() == [[True, True, False]]
    aside = torch.tensor([[[0.0, 0.2, 0.0]]])
    assert float(towards(torch.zeros(1, 1, 3), aside)[0, 0, 2]) == pytest.approx(math.pi / 2)


def test_left_and_right_are_alike():
    torch.manual_seed(0)
    head, around = Passage(4), panorama()
    estimate = torch.zeros(1, 1, 4, 8)
    place = torch.tensor([[[0.0, 0.0, 0.3]]])
    mirrored = head(place * torch.tensor([1.0, -1.0, -1.0]), around.flip(3), estimate)
    torch.testing.assert_close(head(place, around, estimate), mirrored, atol=1e-5, rtol=1e-4)


def test_it_learns_where_walls_are():
    torch.manual_seed(0)
    head = Passage(2)
    azimuth = math.pi - (torch.arange(32) + 0.5) * 2 * math.pi / 32
    wall = torch.stack((azimuth.cos(), azimuth.sin()))[None, :, None].expand(1, 2, 16, 32)  # ahead is a wall
    estimate = torch.full((1, 1, 16, 32), math.log(2.4))
    optimiser = torch.optim.Adam(head.parameters(), 2e-2)
    generator = torch.Generator().manual_seed(1)

    def draw() -> tuple[torch.Tensor, torch.Tensor]:
        places = torch.zeros(64, 1, 3)
        places[:, 0, 2] = (torch.rand(64, generator=generator) * 2 - 1) * math.pi
        return places, (places[..., 2].cos() < 0).float()

    for _ in range(120):
        places, free = draw()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(head(places, wall, estimate), free)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    places, free = draw()
    assert ((head(places, wall, estimate) > 0) == (free > 0)).float().mean() > 0.9


def test_a_model_that_is_stuck_sees_what_it_saw():
    made = checkpoint("code")
    made.backbone = decided(False)
    query = ask(["move_forward", "move_forward", "turn_left"])
    frames = VideoModel(made).simulate([query])[0].frames
    for frame in frames[:2]:
        np.testing.assert_array_equal(frame.rgb, query.history[-1].rgb)
    assert (frames[2].rgb != query.history[-1].rgb).any()


def test_it_needs_motions_and_a_panorama():
    with pytest.raises(InputError, match="motions"):
        ConditioningConfig(codes=3, passage=True)
    sizes = {"latent_channels": 4, "latent_size": 4, "width": 24, "depth": 1, "heads": 2}
    with pytest.raises(InputError, match="panorama"):
        VideoBackbone(BackboneConfig(conditioning=HEADS, panorama=False, **sizes))
    with pytest.raises(InputError, match="no head"):
        backbone().passages(backbone().context(latents(1, 1), panorama()))
