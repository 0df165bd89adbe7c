"""The recogniser's training command on hand-made rooms: three kinds of boxes told by colour and shape."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from worldloop.agents.perception import Perception, PerceptionConfig
from worldloop.agents.perception.answerer import Recogniser, view_vectors
from worldloop.agents.perception.head_training import HeadConfig
from worldloop.core import InputError, SplitError
from worldloop.envs.house.scenes import load_scene, register_scene
from worldloop.training import recogniser as r
from worldloop.training import recogniser_views as v

from house_boxes import box_room

KINDS = (
    ("red_cube", (0.9, 0.1, 0.1), (0.5, 0.5, 0.5)),
    ("green_post", (0.1, 0.8, 0.2), (0.15, 0.15, 1.8)),
    ("blue_board", (0.1, 0.2, 0.9), (1.2, 0.1, 1.0)),
)
VIEW = v.ViewConfig(
    targets_per_scene=6, views_per_target=3, size=64, categories=tuple(name for name, _, _ in KINDS)
)
SMALL = r.TrainConfig(
    scenes=4,
    views=18,
    validation_scenes=2,
    test_scenes=2,
    styles=("A",),
    view=VIEW,
    head=HeadConfig(hidden=32, dropout=0.2, learning_rate=3e-3, epochs=15, patience=15, batch=32, views=3),
)


@pytest.fixture(scope="module", autouse=True)
def rooms():
    """Eight rooms with two things of each kind along the walls."""
    for split, count in (("train", 4), ("val", 2), ("test", 2)):
        for i in range(count):
            random = np.random.default_rng([i, len(split)])
            places = random.permutation(6)
            extra = []
            for n, place in enumerate(places):
                name, colour, size = KINDS[n % 3]
                corner = np.array([0.3 + 1.7 * (place % 3), 0.3 if place < 3 else 2.9, 0.0])
                extra.append((name, colour, corner, corner + size))
            register_scene(f"rooms/{split}/A/{i:04d}", box_room(extra, key=f"rooms_{split}_{i}"))


@pytest.fixture
def in_rooms(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = r.scene_ids
    monkeypatch.setattr(r, "scene_ids", lambda *args: [s.replace("house/", "rooms/") for s in names(*args)])


def test_trains_tests_and_writes(in_rooms, tmp_path, caplog):
    path = tmp_path / "recogniser.safetensors"
    with caplog.at_level(logging.INFO):
        card = r.train_recogniser(replace(SMALL, out=tmp_path))
    assert "recogniser written" in caplog.text
    back = Recogniser.load(path)
    assert back.classes == ("blue_board", "green_post", "red_cube")
    assert card["scenes"] == {"train": 4, "validation": 2, "test": 2}
    assert card["test"]["by_views"]["1"]["accuracy"] > 0.8
    assert sum(b["count"] for b in card["test"]["by_visible_share"].values()) == card["views"]["test"]
    # The stored head names a view that it never saw.
    loaded = load_scene("rooms/test/A/0000")
    thing = next(t for t in loaded.things.values() if t.category == "red_cube")
    view = v.sample_view(loaded, thing, VIEW, np.random.default_rng(9))
    rgb = loaded.renderer.pinhole(view.pose, 64, 90.0).rgb
    vectors = view_vectors(Perception(PerceptionConfig()), [rgb], [view.box])
    assert back.belief(back.logits(vectors)).ranking[0][0] in back.classes


def test_views_depend_on_the_scene_alone(in_rooms):
    scenes = r.scene_ids(("A",), "val", 2)
    together, second = v.collect_views(scenes, VIEW), v.collect_views(scenes[1:], VIEW)
    count = len(second.categories)
    np.testing.assert_array_equal(together.vectors[-count:], second.vectors)
    assert together.targets[-count:] == second.targets
    assert ((second.visible >= 0) & (second.visible <= 1)).all()
    assert second.metres.min() >= 0.4 and second.metres.max() <= 4.5


def test_overlapping_splits_are_refused(monkeypatch):
    monkeypatch.setattr(r, "scene_ids", lambda *_: ["rooms/val/A/0000"])
    with pytest.raises(SplitError, match="two splits"):
        r.train_recogniser(SMALL)


def test_a_scene_without_things_is_refused(in_rooms):
    register_scene("rooms/empty", box_room(key="rooms_empty"))
    with pytest.raises(InputError, match="no view"):
        v.collect_views(["rooms/empty"], VIEW)


def test_a_hidden_thing_has_no_view():
    cupboard = [
        ("wall", (1, 1, 1), (2, 1, 0), (3, 2, 2.5)),
        ("coin", (1, 1, 0), (2.4, 1.4, 1), (2.5, 1.5, 1.1)),
    ]
    register_scene("rooms/hidden", box_room(cupboard, key="rooms_hidden"))
    loaded = load_scene("rooms/hidden")
    coin = next(t for t in loaded.things.values() if t.category == "coin")
    assert v.sample_view(loaded, coin, VIEW, np.random.default_rng(0)) is None
    near = replace(VIEW, distance=(0.4, 1.5), size=128)
    seen = v.sample_view(loaded, coin, near, np.random.default_rng(0), free=True)
    assert seen is not None and seen.visible == 0


def test_a_walk_goes_by_steps():
    loaded = load_scene("rooms/val/A/0000")
    thing = next(t for t in loaded.things.values() if t.category == "green_post")
    random, place = np.random.default_rng(3), (2.5, 2.0)
    for _ in range(5):
        view = v.sample_view(loaded, thing, VIEW, random, near=place, free=True)
        here = tuple(view.pose[:2, 3])
        assert 0.2 <= np.hypot(here[0] - place[0], here[1] - place[1]) <= 0.7
        place = here
