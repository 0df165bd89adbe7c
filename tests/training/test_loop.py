"""The training loop: it learns, it can be stopped anywhere, and it says what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from worldloop.core import InputError
from worldloop.training.loop import CHECKPOINT, LoopConfig, StepInput, curve, train

pytest.importorskip("accelerate")
CONFIG = LoopConfig(steps=30, batch=8, learning_rate=0.02, warmup=3, checkpoint_seconds=0.0, average=0.9)


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 1)
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        return self.layer(self.drop(x))[:, 0]


def line_loss(model: nn.Module, given: StepInput) -> torch.Tensor:
    x = given.random.normal(size=(CONFIG.batch, 3)).astype(np.float32)[given.rows]
    x = torch.from_numpy(x)
    return ((model(x) - x @ torch.tensor([1.0, -2.0, 0.5])) ** 2).mean()


class KilledError(Exception):
    pass


def kill_at(step: int):
    def progress(now: int, loss: float) -> None:
        if now == step:
            raise KilledError

    return progress


def test_it_learns_and_leaves_frozen_parameters_alone(tmp_path):
    model = Line()
    facts = train(model, line_loss, LoopConfig(steps=200, batch=8, learning_rate=0.05, warmup=5), tmp_path)
    first, last = facts["losses"][0][1], facts["losses"][-1][1]
    assert last < 0.2 * first and facts["steps"] == 200 and facts["trained_parameters"] == 4
    assert torch.equal(model.frozen, torch.ones(2)) and not model.training


@pytest.mark.parametrize("kills", [(1,), (7, 8, 21), (29,)])
def test_a_training_that_was_killed_ends_with_the_same_weights(tmp_path, kills):
    whole, broken = Line(), Line()
    expected = train(whole, line_loss, CONFIG, tmp_path / "whole")
    for step in kills:
        with pytest.raises(KilledError):
            train(Line(), line_loss, CONFIG, tmp_path / "broken", kill_at(step))
    facts = train(broken, line_loss, CONFIG, tmp_path / "broken")
    assert torch.equal(whole.layer.weight, broken.layer.weight)
    assert facts["losses"] == expected["losses"]
    again = Line()
    train(again, line_loss, CONFIG, tmp_path / "broken")  # nothing left to do
    assert torch.equal(whole.layer.weight, again.layer.weight)


def test_another_training_in_the_folder_is_refused(tmp_path):
    train(Line(), line_loss, CONFIG, tmp_path)
    with pytest.raises(InputError, match="other settings"):
        train(Line(), line_loss, LoopConfig(steps=31, batch=8), tmp_path)
    with pytest.raises(InputError, match="other settings"):
        train(Line(), line_loss, CONFIG, tmp_path, about={"teacher": "another"})
    (tmp_path / CHECKPOINT).write_bytes(b"broken")
    with pytest.raises(InputError, match="delete it"):
        train(Line(), line_loss, CONFIG, tmp_path)


def test_two_precisions_in_one_process(tmp_path):
    for i, (precision, expected) in enumerate((("fp32", "no"), ("bf16", "bf16"), ("fp32", "no"))):
        config = LoopConfig(steps=2, batch=8, precision=precision)
        seen = []

        def loss(model, given, seen=seen):
            seen.append(model.layer(torch.ones(1, 3)).dtype)
            return line_loss(model, given).float()

        facts = train(Line(), loss, config, tmp_path / str(i))
        assert facts["precision"] == expected
        assert set(seen) == {torch.bfloat16 if precision == "bf16" else torch.float32}


def test_errors(tmp_path):
    with pytest.raises(InputError, match="became nan"):
        train(Line(), lambda m, g: line_loss(m, g) * float("nan"), CONFIG, tmp_path)
    frozen = Line().requires_grad_(False)
    with pytest.raises(InputError, match="nothing to train"):
        train(frozen, line_loss, CONFIG, tmp_path)
    for bad in (
        {"steps": 0},
        {"batch": 0},
        {"learning_rate": 0.0},
        {"decay": "sudden"},
        {"precision": "fp4"},
    ):
        with pytest.raises(InputError):
            LoopConfig(**{"steps": 1, "batch": 1, **bad})


def test_rates_and_curves():
    config = LoopConfig(steps=100, batch=1, learning_rate=1.0, warmup=10)
    rates = [config.rate(s) for s in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == 1.0 and rates[-1] < 0.11
    assert curve([1.0, 3.0, 5.0, 7.0], 2) == [(2, 2.0), (4, 6.0)]


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="Muon comes with torch 2.9")
def test_muon_takes_the_named_matrices_and_goes_on_after_a_kill(tmp_path):
    plain, whole, broken = Line(), Line(), Line()
    named = ("layer.weight",)
    train(plain, line_loss, CONFIG, tmp_path / "plain")
    expected = train(whole, line_loss, CONFIG, tmp_path / "whole", muon=named)
    assert not torch.equal(plain.layer.weight, whole.layer.weight)
    with pytest.raises(KilledError):
        train(broken, line_loss, CONFIG, tmp_path / "broken", kill_at(11), muon=named)
    facts = train(broken, line_loss, CONFIG, tmp_path / "broken", muon=named)
    assert facts["losses"] == expected["losses"]
    for a, b in zip(whole.parameters(), broken.parameters()):
        assert torch.equal(a, b)
