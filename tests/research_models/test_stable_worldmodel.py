"""stable-worldmodel: its latent models as world models (a stand-in package), and a world model as its cost model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from worldloop.actions import NAVIGATION
from worldloop.core import InputError, ModelCard, Observation, Rollout
from worldloop.core.errors import ModelError
from worldloop.models.controls import NoModel
from worldloop.models.research import CostModel

from tiny_clones import BOX, LEWM, SWM_FILES, query, stable_worldmodel, write

pytestmark = pytest.mark.usefixtures("one_thread")
PLAN = BOX.plan([(1.0, 2.0), (0.5, -2.0), (0.0, 2.0), (2.0, -2.0), (1.5, 0.0)] * 2)


@pytest.fixture
def lewm(tmp_path, monkeypatch):
    """Settings of the adapter, with the stand-in in the place of the package."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "stable_worldmodel"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(write(tmp_path / "site", SWM_FILES))
    yield stable_worldmodel(tmp_path)
    for name in [n for n in sys.modules if n.partition(".")[0] == "stable_worldmodel"]:
        del sys.modules[name]


def make(settings, **changes):
    from worldloop.models import MODELS

    spec = ",".join(f"{k}={v}" for k, v in {**settings, **changes}.items())
    return MODELS.create(f"stable-worldmodel:{spec}")


def test_it_predicts_embeddings_for_each_action(lewm):
    model = make(lewm)
    q, other = query(PLAN), query(BOX.plan([(0.0, 0.0)] * 10))
    made, changed, again = model.simulate([q, other, q])
    assert made.latent.shape == (10, 6) and made.latent.dtype == np.float32
    assert np.array_equal(made.latent, again.latent) and not np.array_equal(made.latent, changed.latent)
    assert all(np.array_equal(f.rgb, q.history[-1].rgb) for f in made.frames)
    assert "no frames" in model.card.summary and "read its latents" in model.card.notes
    assert model.card.name == "LeWM-pusht" and model.card.settings["block"] == 5
    assert json.dumps(dict(model.card.settings))
    together = make(lewm, batch=3).simulate([q, other, q])
    np.testing.assert_allclose(together[1].latent, changed.latent, atol=1e-5)
    assert model.refuses(BOX) is None and "named actions" in model.refuses(NAVIGATION)


def test_it_is_told_normalised_pictures_and_commands(lewm):
    model, told = make(lewm, commands_per_step=1), []
    rollout = model._network.rollout
    model._network.rollout = lambda info, act: told.append((dict(info), act)) or rollout(info, act)
    q = query(BOX.plan([(1.5, 2.0)]))
    model.simulate([q])
    info, act = told[0]
    np.testing.assert_allclose(act[0, 0, 0], [1.0, 1.0] * 5)
    assert info["pixels"].shape == (1, 1, 1, 3, 32, 32)
    shown = model.view.put(q.history[-1].rgb) / 255
    wanted = (shown - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(info["pixels"][0, 0, 0].permute(1, 2, 0), wanted, atol=1e-5)
    model.simulate([q])
    assert not torch.equal(told[0][0]["id"], told[1][0]["id"])


def test_settings_that_would_run_code_are_refused(lewm):
    place = Path(lewm["checkpoint"]).parent / "config.json"

    def say(**changes):
        place.write_text(json.dumps({**LEWM, **changes}))

    say(encoder={"_target_": "os.system", "_args_": ["true"]})
    with pytest.raises(InputError, match=r"asks for os\.system, which is none of .*trust=true"):
        make(lewm)
    for target in ("stable_worldmodel.wm.utils.load", "stable_worldmodel.wm.utils.Path", "torch.nn.init.os"):
        say(encoder={"_target_": target})
        with pytest.raises(InputError, match=r"no part of a model|cannot be imported"):
            make(lewm)
    say(encoder={"_target_": "stable_worldmodel.wm.lewm.module.Nothing"})
    with pytest.raises(InputError, match=r"cannot be imported .*pip install \"stable-worldmodel\[train\]\""):
        make(lewm)
    say(predictor={"_target_": "stable_worldmodel.wm.lewm.module.Predictor", "num_frames": 3, "input_dim": 7})
    with pytest.raises(InputError, match="do not belong to this LeWM"):
        make(lewm)
    say(
        _target_="torch.nn.Linear",
        in_features=1,
        out_features=1,
        **{k: None for k in LEWM if k != "_target_"},
    )
    with pytest.raises(InputError, match=r"Linear cannot be made"):
        make(lewm)
    place.write_text("{}")
    with pytest.raises(InputError, match="does not say which model"):
        make(lewm)
    place.unlink()
    with pytest.raises(InputError, match="cannot be read as JSON"):
        make(lewm)


def test_without_the_package_it_says_what_to_install(lewm, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(tmp_path / "site")])
    for name in [n for n in sys.modules if n.partition(".")[0] == "stable_worldmodel"]:
        del sys.modules[name]
    with pytest.raises(InputError, match=r"pip install"):
        make(lewm)


class Lamp:
    """Its picture gets brighter by the first number of each command."""

    card = ModelCard("lamp", "a lamp", "vector")

    def __init__(self, **changes) -> None:
        self.card = ModelCard("lamp", "a lamp", "vector", **changes)
        self.asked = []

    def simulate(self, queries):
        self.asked += queries
        return [self._one(q) for q in queries]

    def _one(self, q):
        light = float(q.history[-1].rgb.mean())
        frames = []
        for a in q.plan.actions:
            light += 10 * a.values[0]
            frames.append(Observation(np.full_like(q.history[-1].rgb, round(min(255, max(0, light))))))
        return Rollout(tuple(frames))


def info(count: int = 2, samples: int = 5) -> dict:
    """What solvers hand over: pictures of brightness 100 and 110, and goals of 130."""
    now = torch.full((count, samples, 1, 8, 8, 3), 100, dtype=torch.uint8)
    now[1:] += 10
    return {"pixels": now, "goal": torch.full_like(now, 130), "step_idx": np.zeros((count, samples, 1))}


def test_candidates_cost_what_is_left_to_the_goal():
    model = Lamp()
    cost = CostModel(model, BOX)
    steps = torch.zeros(2, 5, 3, 2)
    steps[:, :, 0, 0] = torch.arange(5.0)  # 0 to 4; the box ends at 3
    made = cost.get_cost(info(), steps)
    assert made.shape == (2, 5) and made.dtype == torch.float32
    wanted = [[(30 - 10 * min(i, 3)) ** 2 for i in range(5)], [(20 - 10 * min(i, 3)) ** 2 for i in range(5)]]
    np.testing.assert_allclose(made, np.array(wanted) / 255**2, rtol=1e-5)
    assert torch.equal(made, cost.criterion(info(), steps))
    seeds = [q.seed for q in model.asked[:10]]
    assert len(set(seeds[:5])) == len(set(seeds[5:])) == 1 and seeds[0] != seeds[5]
    # Solvers ask for some of the states at a time; that must not matter.
    assert torch.equal(cost.get_cost({k: v[1:] for k, v in info().items()}, steps[1:]), made[1:])


def test_a_step_may_hold_several_commands_and_be_normalised():
    model = Lamp()
    scaler = SimpleNamespace(inverse_transform=lambda x: 0.5 * x + 1)
    other = CostModel(model, BOX, lambda a, b: np.abs(a.astype(float) - b).mean((1, 2, 3)), scaler)
    channels_first = {k: v.movedim(-1, 3) if k != "step_idx" else v for k, v in info(1).items()}
    made = other.get_cost(channels_first, torch.zeros(1, 5, 2, 4))
    assert len(model.asked[0].plan) == 4 and model.asked[0].plan.actions[0].values == (1.0, 1.0)
    np.testing.assert_allclose(made, np.full((1, 5), 10.0))  # 100 and four times 10, wanted 130


def test_what_solvers_cannot_ask_is_refused():
    with pytest.raises(InputError, match="named actions"):
        CostModel(Lamp(), NAVIGATION)
    with pytest.raises(InputError, match="imagines nothing"):
        CostModel(NoModel(), BOX)
    with pytest.raises(InputError, match="reads gripper, true_depth"):
        CostModel(Lamp(reads=("gripper",), privileges=("true_depth",)), BOX)
    cost, steps = CostModel(Lamp(), BOX), torch.zeros(2, 5, 1, 2)
    with pytest.raises(InputError, match="'goal' is missing"):
        cost.get_cost({"pixels": info()["pixels"]}, steps)
    with pytest.raises(InputError, match="no transform for pixels and goal"):
        cost.get_cost({**info(), "pixels": info()["pixels"].float()}, steps)
    with pytest.raises(InputError, match=r"candidates are \[B,S,H,k\*2\]"):
        cost.get_cost(info(), torch.zeros(2, 5, 1, 3))
    with pytest.raises(InputError, match="finite"):
        cost.get_cost(info(), steps + torch.nan)
    with pytest.raises(InputError, match="make them alike"):
        cost.get_cost({**info(), "goal": info()["goal"][..., :4, :, :]}, steps)


def test_st_lpips_can_be_the_distance():
    from worldloop.agents.perception.stlpips import distance

    big = {
        k: v.repeat_interleave(8, 3).repeat_interleave(8, 4) for k, v in info(1, 2).items() if k != "step_idx"
    }
    steps = torch.zeros(1, 2, 1, 2)
    steps[0, 1, 0, 0] = 3.0
    made = CostModel(Lamp(), BOX, distance).get_cost(big, steps)
    assert made[0, 1] < made[0, 0] and made[0, 1] == pytest.approx(0, abs=1e-6)


def test_a_solver_of_the_real_package_finds_the_goal():
    solvers = pytest.importorskip("stable_worldmodel.solver")
    spaces = pytest.importorskip("gymnasium.spaces")
    solver = solvers.CEMSolver(CostModel(Lamp(), BOX), num_samples=32, n_steps=6, topk=6, seed=0)
    config = SimpleNamespace(horizon=2, receding_horizon=2, action_block=1, history_len=1, warm_start=False)
    solver.configure(action_space=spaces.Box(-3, 3, (2, 2), np.float32), n_envs=2, config=config)
    seen = {k: v[:, 0] for k, v in info().items() if k != "step_idx"}
    actions = solver.solve(seen)["actions"]
    reached = np.array([100, 110]) + 10 * np.clip(actions[..., 0].numpy(), -3, 3).sum(1)
    np.testing.assert_allclose(reached, 130, atol=2)


def test_wrong_answers_of_a_package_are_an_error(lewm):
    model = make(lewm)
    model._network.rollout = lambda info, act: {"predicted_emb": torch.zeros(1, 1, 2, 6)}
    with pytest.raises(ModelError, match="gives no embeddings of 3 states"):
        model.simulate([query(PLAN)])
