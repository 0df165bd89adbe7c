"""The sweep: where a point lies in the present view and panorama."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from worldloop.core import Episode, InputError
from worldloop.envs.house.scenes import load_scene
from worldloop.envs.house.world import HouseWorld
from worldloop.models.video import BackboneConfig, Condition, ConditioningConfig, VideoBackbone
from worldloop.models.video.camera import view_angles
from worldloop.models.video.sweep import DISTANCES, blend, channels, sources, sweep

from tiny_video import backbone, latents, panorama

SIDE, D = 16, len(DISTANCES)
ANGLES = view_angles(SIDE, SIDE, 90.0)


def parts(swept: torch.Tensor, colours: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """View [B,T,D,C,h,w], whether it is inside [B,T,D,h,w], panorama [B,T,D,C,h,w]."""
    by_distance = swept.unflatten(2, (D, 2 * colours + 1))
    return by_distance[:, :, :, :colours], by_distance[:, :, :, colours], by_distance[:, :, :, colours + 1 :]


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_from_the_present_the_present_view_is_seen():
    present, around = noise(2, 3, SIDE, SIDE), noise(2, 3, SIDE, 2 * SIDE)
    swept = sweep(torch.zeros(2, 1, 3), ANGLES, 90.0, present, around)
    assert swept.shape == (2, 1, channels(3, True), SIDE, SIDE)
    view, inside, _ = parts(swept)
    assert (inside == 1).all()
    torch.testing.assert_close(view, present[:, None, None].expand_as(view), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("turn", [0, 1, 3, 8, -5])
def test_turning_shifts_the_panorama_and_distance_does_not_matter(turn):
    azimuth = (torch.arange(2 * SIDE) + 0.5) * 2 * math.pi / (2 * SIDE)  # of columns, from the left edge
    around = torch.stack((azimuth.cos(), azimuth.sin()))[None, :, None].repeat(1, 1, SIDE, 1)
    pose = torch.tensor([[[0.0, 0.0, turn * math.pi / 8]]])
    swept = sweep(pose, ANGLES, 90.0, noise(1, 2, SIDE, SIDE), around)
    _, _, seen = parts(swept, 2)
    wanted = math.pi - (ANGLES[:, 0] + pose[0, 0, 2])
    expected = torch.stack((wanted.cos(), wanted.sin())).reshape(1, 1, 1, 2, SIDE, SIDE).expand_as(seen)
    # Interpolating between columns 11 degrees apart shortens the vector by half a percent.
    torch.testing.assert_close(seen, expected, atol=0.012, rtol=0)


def test_what_is_behind_is_not_in_the_view():
    swept = sweep(torch.tensor([[[0.0, 0.0, math.pi]]]), ANGLES, 90.0, noise(1, 3, SIDE, SIDE) + 9)
    assert swept.shape[2] == channels(3, False) and (swept == 0).all()


def test_one_distance_is_right_in_a_real_room():
    """Walking ahead, the best of the distances explains the new view far better than turning alone could."""
    world = HouseWorld(panorama_height=128, depth=False, segmentation=False)
    scene = "house/train/A/0003"
    place = load_scene(scene).nav.random_free_point(np.random.default_rng(2))
    start = {"position": list(place), "yaw_deg": 0.0}
    now = world.reset(Episode("e", "t", scene, 0, start, {}, 1))
    then = [world.step("move_forward") for _ in range(2)][-1]
    assert not then.extra.get("collided", False)

    def tensor(picture: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]

    angles = view_angles(128, 128, 90.0)
    pose = torch.tensor([[[0.4, 0.0, 0.0]]])
    view, inside, seen = parts(sweep(pose, angles, 90.0, tensor(now.rgb), tensor(now.panorama)))
    true = tensor(then.rgb)[0]
    error = torch.where(inside > 0, (view - true).square().mean(3), torch.inf).amin(2)  # best distance
    around = (seen - true).square().mean(3).amin(2)
    still = (tensor(now.rgb)[0] - true).square().mean(0)
    best = torch.minimum(error, around).mean()
    assert best < 0.35 * still.mean(), (float(best), float(still.mean()))


def test_codes_with_motions_are_the_path_that_they_add_up_to():
    motions = ((0.2, 0.0, 0.0), (0.0, 0.0, math.pi / 8), (0.0, 0.0, -math.pi / 8))
    model = backbone(ConditioningConfig(codes=3, camera=True, motions=motions))
    codes = torch.tensor([[2, 1, 1, 3]])
    path = model.conditioner.path(Condition(codes=codes))
    c, s = math.cos(math.pi / 8), math.sin(math.pi / 8)
    expected = [
        [0, 0, math.pi / 8],
        [0.2 * c, 0.2 * s, math.pi / 8],
        [0.4 * c, 0.4 * s, math.pi / 8],
        [0.4 * c, 0.4 * s, 0],
    ]
    torch.testing.assert_close(path[0], torch.tensor(expected))
    # In two clips, the second sets out from where the first one ended.
    first = model.conditioner.path(Condition(codes=codes[:, :2]))
    second = model.conditioner.path(Condition(codes=codes[:, 2:], start=first[:, -1]))
    torch.testing.assert_close(torch.cat((first, second), 1), path)


@pytest.mark.parametrize("around", [False, True])
def test_copying_replaces_by_what_is_in_view(around):
    g = torch.Generator().manual_seed(0)
    count, total = len(DISTANCES), channels(3, around)
    swept, clean = torch.randn(2, 2, total, 4, 4, generator=g), torch.randn(2, 2, 3, 4, 4, generator=g)
    cells = swept.unflatten(2, (count, -1))
    cells[:, :, :, 3] = torch.randint(2, (2, 2, count, 4, 4), generator=g).float()
    swept, inside = cells.flatten(2, 3), cells[:, :, 1, 3].bool()
    nothing = torch.zeros(2, 2, sources(around), 4, 4)
    assert (blend(swept, nothing, clean) == 0).all()
    view = nothing.clone()
    view[:, :, 1] = 1.0
    copied = clean + blend(swept, view, clean)
    wanted = torch.where(inside[:, :, None], cells[:, :, 1, :3], clean)
    torch.testing.assert_close(copied, wanted)
    if around:
        beyond = nothing.clone()
        beyond[:, :, count + 2] = 1.0
        torch.testing.assert_close(clean + blend(swept, beyond, clean), cells[:, :, 2, 4:])


def test_codes_of_the_past_lead_to_the_present():
    motions = ((0.2, 0.0, 0.0), (0.0, 0.0, math.pi / 8), (0.0, 0.0, -math.pi / 8))
    model = backbone(ConditioningConfig(codes=3, camera=True, motions=motions))
    past, around, codes = latents(1, 3, seed=1), panorama(1), torch.tensor([[0, 1, 2]])
    turned = torch.tensor([[[-0.2 * math.cos(math.pi / 8), 0.2 * math.sin(math.pi / 8), -math.pi / 8]]])
    given = torch.cat((turned, torch.tensor([[[0.0, 0.0, -math.pi / 8], [0.0, 0.0, 0.0]]])), dim=1)
    by_codes = model.context(past, around, Condition(codes=codes))
    by_poses = model.context(past, around, Condition(codes=codes, poses=given))
    torch.testing.assert_close(by_codes.keys[-1], by_poses.keys[-1], atol=1e-5, rtol=1e-4)


def test_motions_fit_the_codes():
    for bad in ({"codes": 2, "camera": True, "motions": ((0, 0, 0),)}, {"codes": 1, "motions": ((0, 0, 0),)}):
        with pytest.raises(InputError, match="motions"):
            ConditioningConfig(**bad)
    assert VideoBackbone(BackboneConfig(width=24, depth=1, heads=2)).conditioner.camera is None
