"""Whatever is wrong with the input, the user reads one clear sentence: no traceback, no hang."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from worldloop.cli.console import names
from worldloop.cli.main import main
from worldloop.core import InputError, WorldloopError, parse_spec
from worldloop.tasks.episodes import load_episodes, parse_episodes

FUZZ = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
GOOD = {
    "id": "a",
    "scene": "house/val/A/0000",
    "seed": 1,
    "start": {"position": [0, 0], "yaw_deg": 0},
    "goal": {},
    "budget": 3,
}


@FUZZ
@given(json_values)
@example({"format": 1, "task": "image-goal", "episodes": []})
@example({"format": 1, "task": "image-goal", "episodes": [GOOD, GOOD]})
@example({"format": 1, "task": "other", "episodes": [GOOD]})
def test_episode_files_of_any_content(data):
    with pytest.raises(InputError):
        parse_episodes(data, "image-goal", "file")


@FUZZ
@given(st.sampled_from(sorted(GOOD)), json_values)
def test_episodes_with_one_wrong_field(name, value):
    item = {**GOOD, name: value}
    try:
        (episode,) = parse_episodes(
            {"format": 1, "task": "image-goal", "episodes": [item]}, "image-goal", "file"
        )
    except InputError as error:
        assert "episode 0" in str(error)
    else:  # hypothesis may find a value that is right
        assert isinstance(getattr(episode, name), str | int | dict)


@FUZZ
@given(st.binary(max_size=200))
def test_episode_files_of_any_bytes(tmp_path, data):
    path = tmp_path / "list.json"
    path.write_bytes(data)
    with pytest.raises(InputError):
        load_episodes("image-goal", str(path))


@FUZZ
@given(st.text(max_size=40))
def test_component_names_of_any_text(text):
    try:
        name, options = parse_spec(text)
    except InputError:
        return
    assert isinstance(name, str) and isinstance(options, dict)


def test_names_split_at_commas_but_not_inside_settings():
    assert names("none, oracle-blur:sigma=2,x=1,oracle") == ["none", "oracle-blur:sigma=2,x=1", "oracle"]


BAD_COMMANDS = [
    [],
    ["walk"],
    ["run", "--task", "juggling"],
    ["run", "--task", ""],
    ["run", "--model", "none,none"],
    ["run", "--model", "pointclod"],
    ["run", "--model", "oracle-blur:sigma"],
    ["run", "--model", "oracle-blur:sigma=often"],
    ["run", "--model", "os.path"],
    ["run", "--model", "worldloop.nothing.Model"],
    ["run", "--agent", "genius"],
    ["run", "--split", "nowhere"],
    ["run", "--split", "missing.json"],
    ["run", "--episodes", "0"],
    ["run", "--episodes", "99999"],
    ["run", "--episodes", "many"],
    ["run", "--rollouts", "-1"],
    ["run", "--horizon", "0"],
    ["run", "--horizon", "5000"],
    ["run", "--execute", "some"],
    ["run", "--execute", "99"],
    ["run", "--use", "dream"],
    ["run", "--task", "image-goal", "--use", "perceive"],
    ["run", "--model", "pointcloud:radius=abc"],
    ["run", "--model", "pointcloud:radus=1"],
    ["run", "--model", "worldloop.core.Goal:text=x"],
    ["run", "--model", "none,oracle,worldloop.models.controls.Oracle"],
    ["check", "worldloop.core.Goal:text=x"],
    ["run", "--concurrency", "0"],
    ["run", "--time-limit", "-5"],
    ["run", "--time-limit", "nan"],
    ["compare"],
    ["compare", "/no/such/folder"],
    ["compare", ".", "--confidence", "2"],
    ["view", "/no/such/folder"],
    ["check", "pointclod"],
    ["check", "frozen", "--scene", "house/moon/A/0000"],
    ["check", "frozen", "--scene", "/no/such.glb"],
    ["check", "frozen", "--horizon", "0"],
    ["train", "everything"],
    ["train", "recogniser", "--scenes", "0"],
    ["list", "planets"],
]


@pytest.mark.parametrize("command", BAD_COMMANDS, ids=lambda c: " ".join(c) or "(nothing)")
def test_bad_commands_end_in_a_sentence(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    said = capsys.readouterr()
    assert said.out == "" and "Traceback" not in said.err and "fault of worldloop" not in said.err
    assert said.err.strip()


words = st.sampled_from(
    [
        "run",
        "compare",
        "view",
        "check",
        "list",
        "--task",
        "--model",
        "--split",
        "--json",
        "--episodes",
        "none",
        "-1",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(words | st.text(max_size=6), max_size=5).filter(lambda c: c[:1] not in (["run"], ["check"])))
def test_random_command_lines_never_raise(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    assert main(command) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_list_as_json(capsys):
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert (
        "oracle" in listed["models"] and "image-goal" in listed["tasks"] and "heuristic" in listed["agents"]
    )


def test_errors_share_one_base():
    assert issubclass(InputError, WorldloopError)
