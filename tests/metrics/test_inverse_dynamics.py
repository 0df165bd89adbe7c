"""Inverse dynamics: its pairs, its training and the packaged weights."""

import json

import numpy as np
import pytest
import torch
from walk_defects import SPECS, case, frozen

from worldloop.core import InputError
from worldloop.envs.house.scenes import register_scene
from worldloop.metrics import controllability  # noqa: F401  (registers its metrics)
from worldloop.metrics.controllability.accuracy import asked_signs
from worldloop.metrics.metric import METRICS
from worldloop.metrics.shared.inverse import (
    InverseDynamics,
    load_inverse,
    read_moves,
    shipped_inverse_path,
)
from worldloop.training import inverse_dynamics as training
from worldloop.training.loop import LoopConfig

from house_boxes import box_room


@pytest.fixture(scope="module")
def room():
    register_scene("inverse-room", box_room())
    return "inverse-room"


def test_pairs_depend_on_the_seed_alone(room):
    one, two = (training.view_pairs([room], 12, seed=3) for _ in range(2))
    assert one.before.shape == one.after.shape == (12, 3, 64, 64)
    assert (one.before == two.before).all() and (one.signs == two.signs).all()
    still = (one.signs == 0).all(axis=1)
    assert all((a == b).all() == s for a, b, s in zip(one.before, one.after, still))


def test_mirrored_pairs_have_mirrored_moves(room):
    pairs = training.view_pairs([room], 8, seed=0)
    rows = np.arange(8)
    images, signs = training._spoilt(pairs, rows, np.random.default_rng(0))
    assert images.shape == (8, 6, 64, 64) and images.dtype == np.float32
    assert (signs[:, 0] == pairs.signs[:, 0]).all()
    assert (np.abs(signs) == np.abs(pairs.signs)).all()
    flipped = (signs != pairs.signs).any(axis=1)
    plain = pairs.before[rows].astype(np.float32) / 127.5 - 1
    for image, original, mirrored in zip(images[:, :3], plain, flipped):
        match = original[..., ::-1] if mirrored else original
        assert np.corrcoef(image.ravel(), match.ravel())[0, 1] > 0.7


def test_training_writes_weights_and_card(room, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "scene_ids", lambda split, style, count: [room] * count)
    monkeypatch.setattr(training, "check_disjoint", lambda a, b: None)
    loop = LoopConfig(3, 4, 1e-3, precision="fp32")
    card = training.train_inverse(training.InverseTraining(tmp_path, 1, 20, 1, loop))
    assert card["steps"] == 3 and 0 <= card["held_out"]["all"] <= 1
    assert json.loads((tmp_path / "inverse-dynamics.json").read_text())["held_out_scenes"] == 1
    assert isinstance(load_inverse(tmp_path / training.FILE), InverseDynamics)
    with pytest.raises(InputError, match="at least 1 scene"):
        training.train_inverse(training.InverseTraining(tmp_path, scenes=0))


def test_the_packaged_network_reads_true_walks():
    right = []
    for spec in (*SPECS["walk"], *SPECS["compose"]):
        clip = case(spec).truth
        views = np.concatenate([clip.start[None], clip.frames])
        right.append((read_moves(views[:-1], views[1:]) == asked_signs(clip)).all(axis=1))
        assert METRICS["action_accuracy_inverse"].score(frozen(spec)) == 0
    assert np.concatenate(right).mean() > 0.8
    assert shipped_inverse_path().stat().st_size < 2**20


def test_a_pair_is_read_alike_in_any_company():
    clip = case(SPECS["walk"][0]).truth
    together = read_moves(clip.frames[:-1], clip.frames[1:])
    alone = [read_moves(clip.frames[i : i + 1], clip.frames[i + 1 : i + 2])[0] for i in range(7)]
    assert (together == np.stack(alone)).all()
    with pytest.raises(InputError, match="pass pairs"):
        read_moves(clip.frames, clip.frames[1:])
    assert read_moves([], []).shape == (0, 3)


def test_the_network_compares_only_cells_within_reach():
    network = InverseDynamics().eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 6, 64, 64)).shape == (2, 3, 3)
    assert network.near.shape == network.inside.shape == (256, 75)
    assert network.inside[0].sum() == 3 * 8
