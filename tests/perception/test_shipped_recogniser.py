"""The packaged recogniser: whole, small, of the generator's categories, and as good as its card says."""

import numpy as np

from worldloop.agents.perception import Perception, PerceptionConfig
from worldloop.agents.perception.answerer import Recogniser, shipped_recogniser, shipped_recogniser_path
from worldloop.envs.house.generate import CATEGORIES
from worldloop.training.recogniser import held_out_report
from worldloop.training.recogniser_views import ViewConfig, collect_views


def test_is_small_and_knows_the_categories():
    recogniser = shipped_recogniser()
    assert isinstance(recogniser, Recogniser)
    assert shipped_recogniser_path().stat().st_size < 2 * 2**20
    assert set(recogniser.classes) <= set(CATEGORIES)
    assert set(CATEGORIES) - set(recogniser.classes) == set()


def test_names_things_in_houses_it_was_not_trained_on():
    recogniser = shipped_recogniser()
    scenes = ["house/test/A/0100", "house/test/B/0100", "house/test/C/0100"]
    views = collect_views(
        scenes,
        ViewConfig(targets_per_scene=12, views_per_target=3),
        walk=True,
        perception=Perception(PerceptionConfig(memo_bytes=0)),
    )
    result = held_out_report(recogniser, views)
    promised = recogniser.card["test"]["by_views"]["1"]["accuracy"]
    assert promised > 0.6
    # About a hundred views: three standard errors.
    assert result["by_views"]["1"]["accuracy"] > promised - 0.15
    assert np.isfinite(result["by_views"]["3"]["nll"])
    assert not result["unknown_categories"]
