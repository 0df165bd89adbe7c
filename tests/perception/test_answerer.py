"""The recogniser: calibration is measured and fitted right, fusion behaves, files come back whole."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from worldloop.agents.perception import Perception, PerceptionConfig
from worldloop.agents.perception import answerer as a
from worldloop.agents.perception.calibration import (
    Fusion,
    expected_calibration_error,
    fit_fusion,
    fit_temperature,
    fuse,
    nll,
    report,
)
from worldloop.agents.perception.head_training import HeadConfig, Views, evaluate, train_head, view_sequences
from worldloop.core import InputError, SplitError

CLASSES = ("chair", "lamp", "sofa", "table")
QUICK = HeadConfig(hidden=32, epochs=25, patience=4, batch=64)


def views(scenes, seed, strength=0.12):
    """Vectors in which each class lifts its own block; five views of each of twelve things per scene."""
    random = np.random.default_rng(seed)
    rows, labels, names, targets = [], [], [], []
    for scene in scenes:
        for thing in range(12):
            label = thing % len(CLASSES)
            for _ in range(5):
                row = random.random(a.VECTOR).astype(np.float32)
                row[label * 300 : label * 300 + 300] += strength * random.random()
                rows.append(row)
                labels.append(label)
                names.append(scene)
                targets.append(f"thing_{thing}")
    return Views(np.stack(rows), np.array(labels), names, targets)


@pytest.fixture(scope="module")
def trained():
    train, validation = views([f"t{i}" for i in range(8)], 0), views([f"v{i}" for i in range(3)], 1)
    return train_head(train, validation, CLASSES, QUICK, {"data": "synthetic"})


def test_learns_and_calibrates(trained):
    test = evaluate(trained, views(["x", "y", "z"], 2), QUICK)
    assert test["1"]["accuracy"] > 0.6
    assert test["5"]["accuracy"] > test["1"]["accuracy"]
    assert test["1"]["ece"] < 0.15 and test["5"]["ece"] < 0.15
    assert trained.card["data"] == "synthetic" and trained.card["head"]["scenes"] == 8
    assert trained.card["validation"]["1"]["count"] == 180


def test_training_is_repeatable():
    train, validation = views(["t0", "t1"], 0), views(["v0"], 1)
    quick = HeadConfig(hidden=8, epochs=2, batch=64)
    first, second = (train_head(train, validation, CLASSES, quick) for _ in range(2))
    np.testing.assert_array_equal(first.logits(validation.vectors), second.logits(validation.vectors))


def test_training_and_validation_scenes_must_differ():
    with pytest.raises(SplitError, match="t1"):
        train_head(views(["t0", "t1"], 0), views(["t1"], 1), CLASSES, QUICK)
    with pytest.raises(InputError, match="need some"):
        train_head(views(["t0"], 0), Views(np.zeros((0, a.VECTOR)), np.zeros(0, int), [], []), CLASSES)


def test_logits_do_not_depend_on_the_batch(trained):
    vectors = views(["x"], 5).vectors
    together = trained.logits(vectors)
    for i in (0, 17, 59):
        np.testing.assert_array_equal(trained.logits(vectors[i : i + 1])[0], together[i])


def test_saves_and_loads(trained, tmp_path):
    path = tmp_path / "head.safetensors"
    trained.save(path)
    back = a.Recogniser.load(path)
    vectors = views(["x"], 3).vectors
    np.testing.assert_array_equal(back.logits(vectors), trained.logits(vectors))
    assert back.classes == CLASSES and back.fusion == trained.fusion
    assert json.loads(path.with_suffix(".json").read_text())["card"] == back.card == trained.card


def test_a_file_that_is_no_recogniser_is_refused(tmp_path):
    with pytest.raises(InputError, match="no recogniser"):
        a.Recogniser.load(tmp_path / "none.safetensors")
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"1234567890")
    with pytest.raises(InputError, match="not a recogniser"):
        a.Recogniser.load(path)


def test_belief_ranks_the_allowed_classes(trained):
    logits = np.array([[0.0, 5.0, 1.0, 0.0]])
    belief = trained.belief(logits)
    assert belief.answer == "lamp" and belief.confidence == belief.ranking[0][1]
    limited = trained.belief(logits, allowed=("chair", "sofa"))
    assert limited.answer == "sofa" and sum(p for _, p in limited.ranking) == pytest.approx(1)
    with pytest.raises(InputError, match="knows none"):
        trained.belief(logits, allowed=("dragon",))


logit_rows = st.lists(
    st.lists(st.floats(-8, 8, allow_nan=False), min_size=3, max_size=3), min_size=1, max_size=6
)


@settings(max_examples=60, deadline=None)
@given(rows=logit_rows, doubt=st.floats(0, 0.5), agreement=st.floats(0, 1), data=st.data())
def test_fusion_is_a_distribution_in_any_order(rows, doubt, agreement, data):
    fusion = Fusion(1.3, doubt, agreement)
    p = fuse(np.array(rows), fusion)
    assert p.sum() == pytest.approx(1) and (p >= 0).all()
    order = data.draw(st.permutations(range(len(rows))))
    np.testing.assert_array_equal(p, fuse(np.array(rows)[order], fusion))


def test_fusion_lies_between_repetition_and_independence():
    row = np.array([[1.0, 0.0, -1.0]])
    three = np.repeat(row, 3, 0)
    np.testing.assert_allclose(fuse(three, Fusion(agreement=0)), softmax(row[0]))
    np.testing.assert_allclose(fuse(three, Fusion(agreement=1)), softmax(3 * row[0]))
    np.testing.assert_allclose(fuse(row, Fusion(agreement=0.3)), softmax(row[0]))


def test_weights_of_views():
    logits = np.array([[3.0, 0.0], [0.0, 3.0]])
    fusion = Fusion(agreement=0.6)
    np.testing.assert_allclose(fuse(logits, fusion, [1, 0]), fuse(logits[:1], fusion))
    np.testing.assert_array_equal(fuse(logits, fusion, [0, 0]), [0.5, 0.5])
    assert fuse(logits, fusion, [1, 0.3])[0] > 0.5
    for wrong in ([1], [-1, 1], [np.nan, 1]):
        with pytest.raises(InputError, match="weights"):
            fuse(logits, fusion, wrong)
    with pytest.raises(InputError, match="at least one"):
        fuse(np.zeros((0, 2)), fusion)


def test_fitting_recovers_temperature_and_dependence():
    """Repeated views add nothing; independent views add everything."""
    random = np.random.default_rng(0)
    true = random.normal(0, 1.5, (1500, 4))
    labels = np.array([random.choice(4, p=p) for p in softmax(true, axis=1)])
    assert fit_temperature(true * 3, labels) == pytest.approx(3, rel=0.15)
    repeated = fit_fusion([np.repeat(row[None] * 3, 1 + i % 4, 0) for i, row in enumerate(true)], labels)
    assert repeated.agreement < 0.15 and repeated.temperature == pytest.approx(3, rel=0.2)
    # Independent evidence: Gaussian observations of the label's mean have additive log-likelihoods.
    means = np.eye(4) * 1.2
    sequences, answers = [], []
    for i in range(1500):
        answer = int(random.integers(4))
        seen = means[answer] + random.normal(0, 1, (1 + i % 4, 4))
        sequences.append(-0.5 * ((seen[:, None] - means) ** 2).sum(2))
        answers.append(answer)
    independent = fit_fusion(sequences, answers)
    assert independent.agreement > 0.85 and independent.temperature == pytest.approx(1, rel=0.2)
    with pytest.raises(InputError, match="labels"):
        fit_fusion([], [])


def test_measures_of_calibration():
    p = np.array([[0.8, 0.2]] * 10)
    labels = np.array([0] * 8 + [1] * 2)
    assert expected_calibration_error(p, labels) == pytest.approx(0)
    assert expected_calibration_error(p, np.zeros(10, int)) == pytest.approx(0.2)
    assert expected_calibration_error(np.zeros((0, 2)), []) == 0
    assert nll(p[:1], [0]) == pytest.approx(-np.log(0.8))
    assert report(p, labels)["accuracy"] == 0.8 and report(p[:0], []) == {"count": 0.0}


def test_view_sequences_hold_one_thing_each():
    some = views(["x", "y"], 0)
    sequences, labels = view_sequences(some, longest=3)
    assert {len(s) for s in sequences} == {1, 2, 3}
    for rows, label in zip(sequences, labels):
        assert len({(some.scenes[i], some.targets[i]) for i in rows}) == 1
        assert set(some.labels[rows]) == {label} and len(set(rows.tolist())) == len(rows)


def test_view_vectors():
    perception = Perception(PerceptionConfig(feature_size=64))
    rgb = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    boxes = [(10, 10, 30, 40), (-400, -30, 500, 90), (80, 80, 90, 90)]
    together = a.view_vectors(perception, rgb, boxes)
    assert together.shape == (3, a.VECTOR) and np.isfinite(together).all()
    np.testing.assert_array_equal(a.view_vectors(perception, rgb[2:], boxes[2:])[0], together[2])
    assert a.view_vectors(perception, [], []).shape == (0, a.VECTOR)
    with pytest.raises(InputError, match="boxes"):
        a.view_vectors(perception, rgb, boxes[:2])


def test_box_geometry_is_in_angles():
    """The same view cut wider or in more pixels gives the same centre and size."""
    first = a.box_geometry((32, 32, 64, 64), 64, 64, 90)
    np.testing.assert_allclose(first, a.box_geometry((64, 64, 128, 128), 128, 128, 90), atol=1e-6)
    np.testing.assert_allclose(first[:2], [0.5, 0.5])
    assert first[5] == pytest.approx(0.25) and first[6:].tolist() == [0, 0, 1, 1]
    beyond = a.box_geometry((-10, 0, 10, 20), 64, 64)
    np.testing.assert_array_equal(beyond, a.box_geometry((0, 0, 10, 20), 64, 64))
    assert beyond[6:].tolist() == [1, 1, 0, 0]
