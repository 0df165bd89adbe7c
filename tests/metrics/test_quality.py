"""Picture metrics agree with reference implementations, and stand any pictures."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats
from skimage import data
from skimage.filters import gaussian
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as reference_ms_ssim
from torchmetrics.functional.image import structural_similarity_index_measure as reference_ssim

import worldloop.metrics.long
import worldloop.metrics.quality  # noqa: F401
from worldloop.core import InputError, SplitError
from worldloop.core.errors import MissingExtraError
from worldloop.metrics.clip import TRUE, Clip
from worldloop.metrics.metric import METRICS
from worldloop.metrics.quality.natural import LEAST, frechet
from worldloop.metrics.shared import fidelity, mscn
from worldloop.metrics.shared.flip import flip
from worldloop.metrics.shared.grey import display, grey, linear_light
from worldloop.metrics.shared.opencv import opencv
from worldloop.metrics.shared.parts import PART, by_step, in_parts
from worldloop.metrics.shared.ssim import ms_ssim, scales, ssim

RANDOM = np.random.default_rng(0)
LIGHT = [m for m in METRICS.values() if m.group in ("quality", "long") and m.over == "clip" and not m.weights]


def pairs(side):
    """Natural and random pictures beside spoilt ones, uint8 [5,side,side,3] each."""
    a = data.astronaut()[:side, 100 : 100 + side]
    blurred = (255 * gaussian(a, 2, channel_axis=2)).round().astype(np.uint8)
    noisy = np.clip(a + RANDOM.normal(0, 20, a.shape), 0, 255).astype(np.uint8)
    noise = RANDOM.integers(0, 256, (2, *a.shape), dtype=np.uint8)
    cat = data.chelsea()[:side, 50 : 50 + side]
    return np.stack([a, a, a, noise[0], cat]), np.stack(
        [blurred, noisy, np.roll(a, 4, 1), noise[1], 255 - cat]
    )


def planes(pictures):
    return torch.from_numpy(grey(pictures))[:, None].double()


def test_ssim_is_that_of_scikit_image_and_torchmetrics():
    a, b = pairs(128)
    ours, _ = ssim(grey(a), grey(b))
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    theirs = [
        structural_similarity(*(grey(v[None])[0].astype(float) for v in p), **options) for p in zip(a, b)
    ]
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    _, whole = reference_ssim(planes(a), planes(b), data_range=255.0, return_full_image=True)
    np.testing.assert_allclose(ours, whole[..., 5:-5, 5:-5].mean((1, 2, 3)), atol=1e-4)


@pytest.mark.parametrize(("side", "kernel"), [(128, 7), (192, 11)])
def test_ms_ssim_is_that_of_torchmetrics(side, kernel):
    a, b = (pictures[[0, 3]] for pictures in pairs(side))
    x, y = grey(a), grey(b)
    options = dict(data_range=255.0, kernel_size=kernel, normalize="relu", reduction="none")
    theirs = reference_ms_ssim(planes(a), planes(b), **options)
    np.testing.assert_allclose(ms_ssim(x, y, ssim(x, y)[1]), theirs, atol=1e-4)
    assert scales(side) == 5


def test_psnr_is_that_of_scikit_image_up_to_its_cap():
    a, b = pairs(64)
    clip = Clip(frames=b, truth=a)
    theirs = [peak_signal_noise_ratio(x, y, data_range=255) for x, y in zip(a, b)]
    np.testing.assert_allclose(fidelity.psnr_steps(clip), theirs, rtol=1e-9)
    assert (
        METRICS["psnr"].score(Clip(frames=a, truth=a)) == fidelity.PSNR_CAP == pytest.approx(58.92, abs=0.01)
    )
    assert METRICS["psnr"].score(Clip(frames=a * 0, truth=a * 0 + 255)) == 0


def test_flip_is_that_of_its_authors():
    package = pytest.importorskip("flip_evaluator")
    a, b = pairs(128)
    black = np.zeros_like(a[:1])
    a, b = np.concatenate([a, a[:1]]), np.concatenate([b, black])
    light = [(x.astype(np.float32) / 255, y.astype(np.float32) / 255) for x, y in zip(a, b)]
    theirs = [package.evaluate(x, y, "LDR", applyMagma=False)[1] for x, y in light]
    np.testing.assert_allclose(flip(a, b), theirs, atol=2e-5)
    assert flip(a, a).max() == 0


@pytest.mark.parametrize("count", [0, 1, PART, PART + 1, 5 * PART - 1])
def test_parts_cover_every_step_once_and_in_order(count):
    assert by_step(lambda a, b: (a, b), range(count), range(count)) == [(i, i) for i in range(count)]
    assert [i for part in in_parts(lambda p: range(count)[p], count) for i in part] == list(range(count))


def test_what_fails_in_a_part_is_raised():
    with pytest.raises(ZeroDivisionError):
        by_step(lambda a: 1 // (a - 20), range(30))


def test_each_step_scores_the_same_in_any_company():
    a, b = pairs(64)
    clip = Clip(frames=b, truth=a, start=a[0])
    for name in ("psnr", "ssim", "ms_ssim"):
        together = getattr(fidelity, f"{name}_steps")(clip)
        alone = [
            getattr(fidelity, f"{name}_steps")(Clip(frames=b[i : i + 1], truth=a[i : i + 1]))
            for i in range(5)
        ]
        np.testing.assert_array_equal(together, np.concatenate(alone))
    np.testing.assert_array_equal(
        mscn.naturalness(clip, "frames")[3:], mscn.naturalness(Clip(frames=b[3:]), "frames")
    )


def test_a_long_clip_in_parts_scores_as_its_parts_do():
    a, b = (np.tile(side, (10, 1, 1, 1)) for side in pairs(64))
    whole = Clip(frames=b, truth=a)
    parts = [Clip(frames=b[i : i + 5], truth=a[i : i + 5]) for i in range(0, 50, 5)]
    assert len(a) > 3 * PART > 3 * len(parts[0].frames), "so that the whole is split and its parts are not"
    ways = [getattr(fidelity, f"{n}_steps") for n in ("psnr", "ssim", "ms_ssim")]
    for score in [*ways, lambda c: flip(c.truth, c.frames), lambda c: mscn.naturalness(c, "frames")]:
        np.testing.assert_array_equal(score(whole), np.concatenate([score(part) for part in parts]))


def test_flip_gives_the_same_bits_wherever_its_pictures_are_in_memory():
    a, b = (side[:2] for side in pairs(64))
    first, held = flip(a, b), list[bytearray]()
    for size in range(1, 400, 7):
        held.append(bytearray(1000 * size + size))
        np.testing.assert_array_equal(flip(a, b), first)


def test_light_of_sixteen_million_colours_comes_back():
    np.testing.assert_array_equal(display(linear_light()), np.arange(256))


def test_steps_that_the_world_refused_do_not_count():
    a, b = pairs(32)
    moved = np.array([True, False, True, False, False])
    some = Clip(frames=b, truth=a, start=a[0], moved=moved)
    left = Clip(frames=b[moved], truth=a[moved], start=a[0])
    none = Clip(frames=b, truth=a, start=a[0], moved=np.zeros(5, bool))
    for name in ("psnr", "ssim", "ms_ssim", "flip", "sharpness", "psnr_area", "ssim_area"):
        assert METRICS[name].score(some) == pytest.approx(METRICS[name].score(left))
        assert np.isnan(METRICS[name].score(none))
    assert np.isnan(METRICS["worst_segment"].score(none)) and np.isnan(METRICS["half_life"].score(none))


def drawn(seed, count, side, kind):
    random = np.random.default_rng(seed)
    if kind == "noise":
        return random.integers(0, 256, (count, side, side + 5, 3), dtype=np.uint8)
    if kind == "plain":
        colours = random.integers(0, 256, (count, 1, 1, 3), dtype=np.uint8)
        return np.broadcast_to(colours, (count, side, side + 5, 3)).copy()
    return np.where(random.random((count, side, side + 5, 3)) < 0.01, 255, 0).astype(np.uint8)


kinds = st.sampled_from(["noise", "plain", "specks"])


@given(st.integers(0, 99), st.integers(1, 9), st.integers(16, 40), kinds, kinds)
@settings(max_examples=15, deadline=None)
def test_any_pictures_score_within_the_range(seed, count, side, kind, other):
    frames, truth = drawn(seed, count, side, kind), drawn(seed + 1, count, side, other)
    clips = Clip(frames=frames), Clip(frames=frames, truth=truth, start=truth[0])
    for clip in clips:
        for one in LIGHT:
            if one.applies(clip):
                value = one.score(clip)  # which checks the range
                assert np.isnan(value) or np.isfinite(value), one.name


def test_no_reference_is_needed_for_bare_clips():
    bare = {m.name for m in LIGHT if not m.needs}
    assert bare == {"exposure_drift", "colour_drift", "flicker", "mscn_naturalness", "start_end_contrast"}
    still = Clip(frames=np.repeat(data.astronaut()[None, :64, :64], 8, axis=0))
    for name in bare - {"mscn_naturalness"}:
        assert METRICS[name].score(still) == 0
        if name != "flicker":
            assert np.isnan(METRICS[name].score(Clip(frames=still.frames[:1])))


def test_too_small_pictures_are_refused_with_a_reason():
    tiny = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(InputError, match="8 x 8"):
        METRICS["ssim"].score(Clip(frames=tiny, truth=tiny))
    with pytest.raises(InputError, match="16 x 16"):
        METRICS["mscn_naturalness"].score(Clip(frames=tiny))


def test_missing_opencv_names_its_extra(monkeypatch):
    opencv.cache_clear()
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"worldloop\[metrics\]"):
        grey(np.zeros((1, 16, 16, 3), np.uint8))


def test_the_frechet_distance_is_the_textbook_one():
    a, b = RANDOM.normal(size=(60, 12)), RANDOM.normal(0.3, 1.4, size=(90, 12))
    root = linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    assert frechet(a, b) == pytest.approx(expected, rel=1e-8)
    few, fewer = RANDOM.normal(size=(7, 12)), RANDOM.normal(size=(5, 12))
    root = linalg.sqrtm(np.cov(few.T) @ np.cov(fewer.T)).real
    expected = ((few.mean(0) - fewer.mean(0)) ** 2).sum() + np.trace(
        np.cov(few.T) + np.cov(fewer.T) - 2 * root
    )
    assert frechet(few, fewer) == pytest.approx(expected, rel=1e-5)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_a_frechet_distance_of_few_frames_is_not_given():
    frames = np.zeros((LEAST // 2 - 1, 32, 32, 3), np.uint8)
    assert np.isnan(METRICS["frechet_efficientnet"].score([Clip(frames=frames, truth=frames)] * 2))


@pytest.mark.parametrize("shape", [0.6, 1.0, 2.0, 4.0])
def test_shapes_of_generalised_gaussians_are_found(shape):
    values = stats.gennorm(shape, scale=0.5).rvs((300, 300), random_state=1).astype(np.float32)
    found, left, right = mscn._asymmetric(np.array(mscn._sums(values, False, 0, 0)))
    assert np.exp(found) == pytest.approx(shape, rel=0.05)
    assert left == pytest.approx(values.std(), rel=0.03) and right == pytest.approx(left, rel=0.03)


def test_a_reference_of_naturalness_is_saved_and_told_from_other_files(tmp_path):
    known = mscn.shipped_reference()
    known.save(tmp_path / "copy.json", {})
    copy, a = mscn.Reference.load(tmp_path / "copy.json"), mscn.mscn_features(grey(pairs(64)[0]))
    np.testing.assert_allclose(copy.distance(a), known.distance(a), rtol=1e-9)
    (tmp_path / "other.json").write_text('{"means": 3}')
    with pytest.raises(InputError, match=r"other\.json"):
        mscn.Reference.load(tmp_path / "other.json")


def test_naturalness_is_never_fitted_to_held_out_scenes():
    from worldloop.training.naturalness import fit_naturalness

    with pytest.raises(SplitError):
        fit_naturalness(["house/test/A/0000"])


def test_lpips_says_how_to_get_its_weights(monkeypatch):
    from worldloop.agents.perception import lpips

    monkeypatch.delenv(lpips.BACKBONE_VARIABLE, raising=False)
    a, b = pairs(32)
    clip = Clip(frames=b[:1], truth=a[:1])
    with pytest.raises(InputError, match=lpips.BACKBONE_VARIABLE):
        METRICS["lpips"].score(clip)
    monkeypatch.setattr(lpips, "load_lpips", lambda: lpips.Lpips().eval().requires_grad_(False))
    assert METRICS["lpips"].score(clip) > 0


class Narrow(torch.nn.Module):
    """Of the interface of the published Inception, and no more."""

    def __init__(self, width: int = 2048) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        """[N,3,H,W] to [N,width]"""
        return x.float().flatten(1)[:, : self.width] / 500


class NarrowVideo(torch.nn.Module):
    """Of the interface of the published I3D, and no more."""

    def forward(
        self, x: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False
    ) -> torch.Tensor:
        """[N,3,T,H,W] in -1..1 to [N,400]"""
        assert not rescale and not resize and x.abs().max() <= 1
        return x[:, 0, :, ::8, ::8].flatten(1)[:, :400]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fid_and_fvd_run_on_the_networks_of_others(monkeypatch, tmp_path):
    random, paths = np.random.default_rng(0), {}
    for name, network in {"image": Narrow(), "small": Narrow(7), "video": NarrowVideo()}.items():
        torch.jit.script(network).save(paths.setdefault(name, tmp_path / f"{name}.pt"))
    frames = random.integers(0, 256, (16, 12, 32, 32, 3), dtype=np.uint8)

    def clips(change: int, count: int = 16) -> list[Clip]:
        return [
            Clip(frames=(f // 4 * (4 - change)).astype(np.uint8), truth=f // 4 * 4) for f in frames[:count]
        ]

    for name, variable, right in (
        ("fid", "WORLDLOOP_FID_INCEPTION", "image"),
        ("fvd", "WORLDLOOP_FVD_I3D", "video"),
    ):
        monkeypatch.delenv(variable, raising=False)
        with pytest.raises(InputError, match=f"set {variable} to"):
            METRICS[name].score(clips(0))
        monkeypatch.setenv(variable, str(paths[right]))
        none, some, more = (METRICS[name].score(clips(c)) for c in (0, 1, 2))
        assert none == pytest.approx(0, abs=1e-6) and none < some < more
        assert np.isnan(METRICS[name].score(clips(1, 8)))
        for wrong in (paths["small"], tmp_path / "nothing.pt", __file__):
            monkeypatch.setenv(variable, str(wrong))
            with pytest.raises(InputError, match=f"set {variable} to"):
                METRICS[name].score(clips(1))


def test_what_the_truth_tells_is_kept_for_all_clips_of_a_case():
    a, b = pairs(32)
    true = Clip(frames=a, truth=a, start=a[0])
    one, other = (replace(true, frames=f, kept={TRUE: true}) for f in (b, b[::-1]))
    names = ("ssim", "half_life", "flip", "start_end_contrast")
    alone = [METRICS[n].score(Clip(frames=b[::-1], truth=a, start=a[0])) for n in names]
    for n in names:
        METRICS[n].score(one)
    held = dict(true.kept)
    assert held and [METRICS[n].score(other) for n in names] == pytest.approx(alone, nan_ok=True)
    assert true.kept.keys() == held.keys() and all(true.kept[k] is held[k] for k in held)
    # What a model imagined is its own.
    assert not any(v is b for v in true.kept.values()) and ("grey", "frames") not in true.kept
