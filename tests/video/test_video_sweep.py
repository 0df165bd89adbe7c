"""The sweep: where a point lies in the present view and panorama."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from worldloop.core import Episode, InputError, Observation
from worldloop.envs.house.scenes import load_scene
from worldloop.envs.house.world import HouseWorld
from worldloop.models.video import BackboneConfig, Condition, ConditioningConfig, VideoBackbone
from worldloop.models.video.camera import panorama_angles, view_angles
from worldloop.models.video.detail import find
from worldloop.models.video.sweep import Distances, blend, channels, sources, sweep
from worldloop.training.video.clip_loss import picture_error

from tiny_video import backbone, latents, panorama

SIDE = 16
ANGLES = view_angles(SIDE, SIDE, 90.0)


def flat(latents: torch.Tensor, elevation: torch.Tensor, around: bool) -> torch.Tensor:
    """Everything is 2.4 m away, which is one of the distances of the sweep."""
    return torch.full_like(latents[:, :1], math.log(2.4))


def parts(swept: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What the view shows [B,T,C,h,w], how likely that is [B,T,h,w], and the same of the panorama."""
    (view, in_view), (seen, in_panorama) = ((x[:, :, :-1], x[:, :, -1]) for x in swept.chunk(2, dim=2))
    return view, in_view, seen, in_panorama


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_from_the_present_the_present_view_is_seen():
    present, around = noise(2, 3, SIDE, SIDE), noise(2, 3, SIDE, 2 * SIDE)
    swept = sweep(torch.zeros(2, 1, 3), ANGLES, 90.0, present, around, flat)
    assert swept.shape == (2, 1, channels(3, True), SIDE, SIDE)
    view, likely, *_ = parts(swept)
    # Neither floor nor ceiling before 2.4 m.
    level = ANGLES[:, 1].abs().unflatten(0, (SIDE, SIDE)) < math.atan(1.2 / 2.4)
    assert level.any() and (likely[:, :, level] > 0.9).all()
    torch.testing.assert_close(view[..., level], present[:, None][..., level], atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("turn", [0, 1, 3, 8, -5])
def test_turning_shifts_the_panorama_and_distance_does_not_matter(turn):
    azimuth = (torch.arange(2 * SIDE) + 0.5) * 2 * math.pi / (2 * SIDE)  # of columns, from the left edge
    around = torch.stack((azimuth.cos(), azimuth.sin()))[None, :, None].repeat(1, 1, SIDE, 1)
    pose = torch.tensor([[[0.0, 0.0, turn * math.pi / 8]]])
    torch.manual_seed(0)
    estimate = Distances(2)
    torch.nn.init.normal_(estimate.last.weight, std=0.3)
    for distances in (flat, estimate):
        _, _, seen, likely = parts(sweep(pose, ANGLES, 90.0, noise(1, 2, SIDE, SIDE), around, distances))
        wanted = math.pi - (ANGLES[:, 0] + pose[0, 0, 2])
        expected = torch.stack((wanted.cos(), wanted.sin())).reshape(1, 1, 2, SIDE, SIDE)
        # Interpolating between columns 11 degrees apart shortens the vector by half a percent.
        known = (likely > 0.5)[:, :, None]
        torch.testing.assert_close(seen * known, expected * known, atol=0.012, rtol=0)
        assert known.float().mean() > 0.4


def test_what_is_behind_is_not_in_the_view():
    swept = sweep(
        torch.tensor([[[0.0, 0.0, math.pi]]]), ANGLES, 90.0, noise(1, 3, SIDE, SIDE) + 9, None, flat
    )
    assert swept.shape[2] == channels(3, False) and (swept == 0).all()


def test_distances_go_round_the_panorama_and_start_at_one_guess():
    torch.manual_seed(0)
    estimate, rise = Distances(3), torch.linspace(1, -1, SIDE)[:, None].expand(-1, 2 * SIDE)
    latents = noise(2, 3, SIDE, 2 * SIDE)
    assert torch.allclose(estimate(latents, rise, True), torch.tensor(math.log(2.0)))
    torch.nn.init.normal_(estimate.last.weight)
    plain, rolled = estimate(latents, rise, True), estimate(latents.roll(5, 3), rise, True)
    assert plain.shape == (2, 1, SIDE, 2 * SIDE)
    torch.testing.assert_close(plain.roll(5, 3), rolled, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(plain[..., 0], estimate(latents, rise, False)[..., 0])


@pytest.fixture(scope="module")
def walk():
    """Two steps ahead in a real room: the observation before and the one after."""
    world = HouseWorld(panorama_height=128, depth=True, segmentation=False)
    scene = "house/train/A/0003"
    place = load_scene(scene).nav.random_free_point(np.random.default_rng(2))
    start = {"position": list(place), "yaw_deg": 0.0}
    now = world.reset(Episode("e", "t", scene, 0, start, {}, 1))
    then = [world.step("move_forward") for _ in range(2)][-1]
    assert not then.extra.get("collided", False)
    return now, then


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]


def true_distances(now: Observation) -> tuple[torch.Tensor, torch.Tensor]:
    """Logarithms of the distances along the floor of a view and of its panorama, from the simulator's depth."""
    rise = panorama_angles(128, 256)[:, 1].unflatten(0, (128, 256))
    across = view_angles(128, 128, 90.0)[:, 0].unflatten(0, (128, 128))
    view, around = (
        torch.from_numpy(depth).float()[None, None]
        for depth in (now.depth / across.cos().numpy(), now.extra["panorama_depth"] * rise.cos().numpy())
    )
    return view.clamp(min=0.05).log(), around.clamp(min=0.05).log()


def test_with_true_distances_the_next_view_is_known(walk):
    now, then = walk

    def known(latents: torch.Tensor, elevation: torch.Tensor, around: bool) -> torch.Tensor:
        return true_distances(now)[around]

    angles, pose = view_angles(128, 128, 90.0), torch.tensor([[[0.4, 0.0, 0.0]]])
    true, views = tensor(then.rgb)[0], (tensor(now.rgb), tensor(now.panorama))
    errors = {}
    for name, distances in (("known", known), ("flat", flat)):
        view, likely, seen, _ = parts(sweep(pose, angles, 90.0, *views, distances))
        best = torch.where(likely[:, :, None] > 0.5, view, seen)[0, 0]
        errors[name] = float((best - true).square().mean())
    still = float((views[0][0] - true).square().mean())
    assert errors["known"] < 0.8 * errors["flat"] and errors["known"] < 0.25 * still, (errors, still)
    # One look at the mean of the distances that fit is sharper than the mean of several looks.
    cells, pixels = (view_angles(n, n, 90.0).unflatten(0, (n, n)) for n in (32, 128))
    found = find(pose, (cells, pixels), 90.0, true_distances(now), views)[0, 0]
    best = torch.where(found[0, 3] > 0.5, found[0, :3], found[1, :3])
    assert float((best - true).square().mean()) < 0.8 * errors["known"]


@pytest.mark.parametrize("source", [0, 1])
def test_pictures_of_where_one_stands_are_found_again(walk, source):
    now, _ = walk
    cells, pixels = (view_angles(n, n, 90.0).unflatten(0, (n, n)) for n in (32, 128))
    views = (tensor(now.rgb), tensor(now.panorama))
    found = find(torch.zeros(1, 1, 3), (cells, pixels), 90.0, true_distances(now), views)[0, 0, source]
    assert found.shape == (4, 128, 128) and ((found[3] >= 0) & (found[3] <= 1)).all()
    error = (found[:3] - views[0][0]).abs().mean(0)[found[3] > 0.5].mean()
    assert (found[3] > 0.5).float().mean() > 0.5 and error < (0.001, 0.08)[source]


def test_sharpening_starts_at_nothing_and_learns_from_pixels():
    torch.manual_seed(0)
    sizes = {"latent_channels": 4, "latent_size": 4, "width": 24, "heads": 2, "depth": 2}
    model = VideoBackbone(BackboneConfig(conditioning=ConditioningConfig(camera=True), **sizes))
    pictures = (noise(1, 3, 32, 32), noise(1, 3, 32, 64))
    context = model.context(latents(1, 1), panorama(), pictures=pictures)
    soft = noise(2, 3, 3, 32, 32) * 0.1
    poses = torch.full((2, 3, 3), 1e-3)
    assert torch.equal(model.sharpened(soft, poses, context), soft)
    assert torch.equal(model.sharpened(soft, 0 * poses, context), pictures[0][:, None].expand_as(soft))
    assert torch.equal(model.sharpened(soft, None, context), soft)
    assert torch.equal(model.sharpened(soft, poses, model.context(latents(1, 1), panorama())), soft)
    truth = pictures[0][:, None].expand_as(soft)
    optimiser, errors = torch.optim.Adam(model.conditioner.camera.parameters(), 1e-2), []
    for _ in range(60):
        optimiser.zero_grad()
        error = picture_error(model.sharpened(soft, poses, context).flatten(0, 1), truth.flatten(0, 1)).mean()
        error.backward()
        optimiser.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.5 * errors[0], errors[::10]
    assert model.conditioner.camera.distances.last.weight.grad.abs().max() > 0


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
def test_copying_replaces_by_what_is_likely(around):
    g = torch.Generator().manual_seed(0)
    swept, clean = (torch.randn(2, 2, c, 4, 4, generator=g) for c in (channels(3, around), 3))
    cells = swept.unflatten(2, (sources(around), 4))
    cells[:, :, :, 3] = torch.randint(2, cells[:, :, :, 3].shape, generator=g).float()
    nothing = torch.zeros(2, 2, sources(around), 4, 4)
    assert (blend(swept, nothing, clean) == 0).all()
    for i in range(sources(around)):
        weights = nothing.clone()
        weights[:, :, i] = 1.0
        wanted = torch.where(cells[:, :, i, 3:].bool(), cells[:, :, i, :3], clean)
        torch.testing.assert_close(clean + blend(swept, weights, clean), wanted)


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
