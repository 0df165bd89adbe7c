"""Clones and checkpoints: what is imported and read, and what is refused."""

from __future__ import annotations

import os
import pickle
import sys

import pytest
import torch

from worldloop.core import InputError
from worldloop.models.research.checkpoint import read_checkpoint, weights_in
from worldloop.models.research.clone import Clone, Repository, read_yaml
from worldloop.models.research.dino_wm import DINO_WM

from tiny_clones import DINO_FILES, dino_wm, write

ANY = Repository("Thing", "https://example.org/thing", "MIT", ("models.py",), "version 2", sources=".")


class Hidden:
    """Pickles as a call."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.fixture
def thing(tmp_path) -> Clone:
    files = {"models.py": "import helper\nvalue = helper.value\n", "helper.py": "value = 'one'\n"}
    return Clone(write(tmp_path / "thing", files), ANY)


def test_two_clones_with_modules_of_the_same_name_do_not_meet(thing, tmp_path):
    before, paths = dict(sys.modules), list(sys.path)
    other = Clone(write(tmp_path / "other", {"models.py": "value = 'two'\n"}), ANY)
    assert (thing.find("models", "value"), other.find("models", "value")) == ("one", "two")
    assert thing.find("helper", "value") == "one"
    assert sys.path == paths and not {"models", "helper"} & (set(sys.modules) - set(before))


def test_modules_of_others_are_put_aside_and_come_back(thing, monkeypatch):
    theirs = type(sys)("models")
    monkeypatch.setitem(sys.modules, "models", theirs)
    assert thing.find("models", "value") == "one"
    assert sys.modules["models"] is theirs


def test_a_module_is_imported_once(thing):
    (thing.root / "models.py").write_text("class Net:\n    pass\n")
    assert thing.find("models", "Net") is thing.find("models", "Net")


def test_what_a_clone_lacks_is_said(thing, tmp_path):
    with pytest.raises(InputError, match=r"no clone of Thing.*lacks models\.py; git clone https.*version 2"):
        Clone(tmp_path / "nowhere", ANY)
    with pytest.raises(InputError, match=r"has no module models\.vit"):
        thing.find("models.vit", "Net")
    with pytest.raises(InputError, match=r"models has no Net; .* version 2"):
        thing.find("models", "Net")
    (thing.root / "models.py").write_text("import no_such_package.deep\n")
    fresh = Clone(thing.root, ANY)
    with pytest.raises(InputError, match=r"imports no_such_package, which is not installed: pip install"):
        fresh.find("models", "value")
    (thing.root / "models.py").write_text("1 / 0\n")
    with pytest.raises(InputError, match=r"cannot be imported \(ZeroDivisionError"):
        Clone(thing.root, ANY).find("models", "value")


def test_a_package_of_another_folder_is_not_taken_for_the_clone(tmp_path, monkeypatch):
    # The real clones have folders without __init__.py, before which any real package of that name goes.
    write(tmp_path / "elsewhere", {"nets/__init__.py": "", "nets/part.py": "value = 1\n"})
    repository = Repository("Thing", "https://example.org", "MIT", ("nets",), "version 2")
    clone = Clone(write(tmp_path / "mine", {"nets/part.py": "value = 2\n"}), repository)
    assert clone.find("nets.part", "value") == 2
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"was not found in .*mine but in .*elsewhere"):
        Clone(clone.root, repository).find("nets.part", "value")


def test_what_it_prints_does_not_reach_the_user(thing, capsys):
    (thing.root / "models.py").write_text("print('hello')\nvalue = 1\n")
    assert thing.find("models", "value") == 1 and capsys.readouterr().out == ""


def test_the_commit_is_read_from_the_clone(thing):
    assert thing.commit() == ""
    write(thing.root, {".git/HEAD": "ref: refs/heads/main\n", ".git/refs/heads/main": "abc123\n"})
    assert thing.commit() == "abc123"
    write(thing.root, {".git/HEAD": "def456\n"})
    assert thing.commit() == "def456"


def test_the_code_is_part_of_the_hash(thing):
    thing.find("models", "value")
    before = thing.digest()
    (thing.root / "helper.py").write_text("value = 'three'\n")
    assert thing.digest() != before


def test_hidden_calls_are_refused_and_not_run(tmp_path):
    place, ran = tmp_path / "evil.pt", tmp_path / "ran"
    torch.save({"model": {"w": torch.zeros(2)}, "more": Hidden(os.mkdir, str(ran))}, place)
    with pytest.raises(InputError, match=r"holds more than weights \(.*mkdir.*trust=true"):
        read_checkpoint(place)
    assert not ran.exists()
    read_checkpoint(place, trust=True)
    assert ran.exists()


def test_a_function_of_the_clone_is_no_way_around_it(tmp_path):
    clone = Clone(
        write(tmp_path / "dino_wm", {**DINO_FILES, "models/tools.py": "def wipe(where):\n    1 / 0\n"}),
        DINO_WM,
    )
    with clone.importing():
        from models.tools import wipe  # type: ignore[import-not-found]

        torch.save({"a": Hidden(wipe, "all")}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match=r"models\.tools\.wipe"):
        read_checkpoint(tmp_path / "evil.pt", clone)


def test_whole_networks_of_the_clone_are_read_without_trust(tmp_path):
    settings = dino_wm(tmp_path)
    clone = Clone(settings["clone"], DINO_WM)
    found = read_checkpoint(settings["checkpoint"], clone)
    assert type(found["predictor"]) is clone.find("models.vit", "ViTPredictor")
    with pytest.raises(InputError, match=r"models\.vit\.ViTPredictor"):
        read_checkpoint(settings["checkpoint"])


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no checkpoint"):
        read_checkpoint(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("weights")
    with pytest.raises(InputError, match=r"text\.pt"):
        read_checkpoint(tmp_path / "text.pt")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "bad.safetensors")
    (tmp_path / "old.pkl").write_bytes(pickle.dumps({"a": Hidden(os.mkdir, "x")}, 2))
    with pytest.raises(InputError, match=r"old\.pkl"):
        read_checkpoint(tmp_path / "old.pkl")


def test_weights_are_found_under_their_keys_and_without_prefixes():
    w = torch.zeros(1)
    assert list(weights_in({"ema": {"module._orig_mod.a": w}, "model": {"b": w}}, "f", "ema", "model")) == [
        "a"
    ]
    assert list(weights_in({"a": w}, "f", "ema")) == ["a"]
    for wrong in ({"ema": {}}, {"a": 1}, [w], {}):
        with pytest.raises(InputError, match="holds no weights by name"):
            weights_in(wrong, "f", "ema")


def test_yaml_is_read_without_running_it(tmp_path):
    (tmp_path / "a.yaml").write_text("a: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_yaml(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("- 1\n")
    with pytest.raises(InputError, match="does not hold settings"):
        read_yaml(tmp_path / "a.yaml")
