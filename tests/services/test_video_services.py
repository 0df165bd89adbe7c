"""Video services as world models: what is asked, what comes back, what goes wrong, and where the key goes."""

from __future__ import annotations

import base64
import io
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worldloop.actions import NAVIGATION
from worldloop.actions.gripper import gripper_vocabulary
from worldloop.core import InputError, ModelError, Observation, Query, ServerError
from worldloop.engine.check import check_model
from worldloop.models import MODELS, retrying
from worldloop.models.services import job
from worldloop.models.services.clip import Clip, spread
from worldloop.models.services.job import pointed
from worldloop.models.services.videos import VideosModel

from video_server import VideoServer

KEY = "sk-very-secret-key"
NAMES = ["move_forward", "turn_left", "turn_right", "move_forward", "turn_left"]


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(job, "FIRST_LOOK", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def query(seed: int = 3, length: int = 5, shape: tuple[int, int] = (50, 70)) -> Query:
    rgb = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    return Query((Observation(rgb, hfov_deg=80.0),), (), NAVIGATION.plan(NAMES[:length]), seed)


def greys(rollout) -> list[int]:
    return [round(float(f.rgb.mean())) for f in rollout.frames]


def model(server: VideoServer, **settings) -> VideosModel:
    return VideosModel(server.url, "wan", **settings)


@pytest.mark.parametrize("form", ["multipart", "json"])
@pytest.mark.parametrize("mode", ["async", "sync"])
def test_a_plan_becomes_a_prompt_and_a_clip_becomes_frames(mode, form):
    with VideoServer() as server:
        asked = query()
        (rollout,) = model(
            server, mode=mode, form=form, prompt="A house. {motion}", inference_steps=7
        ).simulate([asked])
        (wish,) = server.wishes
        paths = [path.replace("job%2F0", "ID") for _, path in server.asked]
    assert wish["prompt"].startswith(
        "A house. The camera moves forward by 0.2m. The camera rotates left by 22.5"
    )
    assert (str(wish["num_frames"]), str(wish["fps"]), str(wish["seed"])) == ("21", "8", "3")
    assert (wish["model"], wish["size"], str(wish["num_inference_steps"])) == ("wan", "64x48", "7")
    picture = wish["input_reference"]
    if form == "json":
        picture = base64.b64decode(picture.removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(picture)).size == (64, 48)
    assert [f.rgb.shape for f in rollout.frames] == [(50, 70, 3)] * 5
    assert rollout.frames[0].hfov_deg == 80.0
    expected = [(3 + 10 * i) % 250 for i in (4, 8, 12, 16, 20)]
    assert all(abs(a - b) <= 2 for a, b in zip(greys(rollout), expected))
    waited = ["/v1/videos", "/v1/videos/ID", "/v1/videos/ID", "/v1/videos/ID/content"]
    assert paths == (waited if mode == "async" else ["/v1/videos/sync"])


def test_the_model_passes_the_check_and_its_card_says_what_matters():
    with VideoServer(looks=1) as server:
        made = MODELS.create(f"videos:url={server.url}/v1,model=wan,fps=16,size=96x64")
        report = check_model(made)
    assert report.passed, report.items
    card = made.card
    assert card.control == "text" and "not honour" in card.notes
    assert (card.settings["model"], card.settings["size"], card.settings["fps"]) == ("wan", "96x64", 16)
    assert server.url not in repr(card)


@pytest.mark.parametrize("count", [2, 3, 6, 11, 81, 121])
@pytest.mark.parametrize("length", [1, 4, 5, 14])
def test_frames_are_spread_over_the_actions(count, length):
    numbers = spread(count, length)
    assert len(numbers) == length and numbers == sorted(numbers)
    assert numbers[-1] == count - 1 and numbers[0] >= (1 if count > length else 0)
    if count == length + 1:
        assert numbers == list(range(1, count))


def test_what_fails_in_passing_is_asked_again():
    faults = {"create": ["503", "429", "hang up"], "look": ["500"], "content": ["cut off", "half", "502"]}
    with VideoServer(faults=faults) as server:
        (rollout,) = model(server).simulate([query()])
    assert len(rollout.frames) == 5 and server.counts["create"] == 4 and server.counts["content"] == 4


@pytest.mark.parametrize(
    ("faults", "error", "said"),
    [
        ({"create": ["fails"]}, ModelError, "failed the job: out_of_memory: the model fell over"),
        ({"create": ["moderated"]}, ModelError, "refused .* moderation_blocked: Your request was blocked"),
        ({"create": ["401"]}, ServerError, "is the key right"),
        ({"create": ["404"]}, ServerError, "status 404"),
        ({"create": ["text", "..."]}, ServerError, "no JSON"),
        ({"create": ["500", "..."]}, ServerError, "status 500"),
        ({"content": ["text"]}, ServerError, "answered with text/html, not with a video"),
        ({"content": ["half", "..."]}, ServerError, "video cannot be used"),
        ({"content": ["one picture"]}, ModelError, "a single picture"),
    ],
)
@pytest.mark.parametrize("key", ["", KEY])
def test_what_fails_for_good_is_told_without_the_key(faults, error, said, key, monkeypatch, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    caplog.set_level(logging.DEBUG)
    with VideoServer(faults=faults) as server:
        made = model(server, retries=1)
        with pytest.raises(error, match=said) as caught:
            made.simulate([query()])
        assert set(server.keys) == {f"Bearer {key}" if key else ""}
    assert KEY not in repr((caught.value, made.card)) + caplog.text


def test_a_job_that_takes_too_long_is_taken_back():
    with VideoServer(looks=10**9) as server:
        with pytest.raises(ServerError, match=r"not done within 2 s .*in_progress.*raise timeout"):
            model(server, timeout=2).simulate([query()])
        assert server.asked[-1] == ("DELETE", "/v1/videos/job%2F0")


def test_a_reply_that_drips_is_given_up():
    with (
        VideoServer(faults={"content": ["drip", "..."]}) as server,
        pytest.raises(ServerError, match="no complete reply"),
    ):
        model(server, timeout=0.5).simulate([query()])


def test_no_more_at_once_than_lanes():
    with VideoServer() as server:
        made = model(server, lanes=2)
        assert len(made.simulate([query(i) for i in range(6)])) == 6
    assert server.most_flying <= 2 and made.lanes == 2


def test_what_succeeded_beside_a_failure_is_not_generated_again():
    with VideoServer(faults={"create": ["", "moderated"]}) as server:
        made = model(server, lanes=1)
        asked = [query(i) for i in range(3)]
        with pytest.raises(ModelError, match="moderation"):
            made.simulate(asked)
        assert server.counts["create"] == 3
        assert len(made.simulate(asked)) == 3
        assert server.counts["create"] == 4
        assert len(made.simulate(asked)) == 3 and server.counts["create"] == 7


def test_a_video_on_another_host_is_fetched_without_the_key_where_that_is_allowed(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with VideoServer() as other:
        away = other.url.replace("127.0.0.1", "localhost")
        with VideoServer(faults={"content": ["moved"]}, elsewhere=away) as server:
            with pytest.raises(ServerError, match=r"keeps its video on localhost, .* hosts=localhost"):
                model(server).simulate([query()])
            assert not other.asked
            server.counts.clear()
            (rollout,) = model(server, hosts="localhost").simulate([query()])
    assert len(rollout.frames) == 5
    assert other.keys == [""] and set(server.keys) == {f"Bearer {KEY}"}


def test_a_video_that_is_too_large():
    with VideoServer() as server:
        made = model(server)
        object.__setattr__(made._runner.caller.reach, "max_video_bytes", 100)
        with pytest.raises(ServerError, match="longer than 100 bytes"):
            made.simulate([query()])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "ftp://x", "model": "m"}, "looks like http"),
        ({"url": "http://user:pass@x", "model": "m"}, "no user"),
        ({"url": "http://127.0.0.1:9", "model": ""}, "model=NAME"),
        ({"url": "http://127.0.0.1:9", "model": "m", "mode": "later"}, "async or sync"),
        ({"url": "http://127.0.0.1:9", "model": "m", "size": "big"}, "832x480"),
        ({"url": "http://127.0.0.1:9", "model": "m", "fps": 0}, "fps"),
        ({"url": "http://127.0.0.1:9", "model": "m", "prompt": "go"}, "{motion}"),
        ({"url": "http://127.0.0.1:9", "model": "m", "lanes": 0}, "lanes"),
        ({"url": "http://127.0.0.1:9", "model": KEY}, "holds the key"),
        ({"url": "http://example.com", "model": "m"}, "unencrypted"),
    ],
)
def test_settings_that_make_no_sense(settings, said, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(InputError, match=said) as caught:
        VideosModel(**settings)
    assert KEY not in str(caught.value)


def test_plans_of_numbers_are_refused():
    made = VideosModel("http://127.0.0.1:9", "m")
    box = gripper_vocabulary((0, 0, 0), (1, 1, 1))
    assert "numbers" in made.refuses(box) and made.refuses(NAVIGATION) is None
    asked = query()
    with pytest.raises(ModelError, match="numbers"):
        made.simulate([Query(asked.history, (), box.plan([box.low]), 0)])


def test_nobody_is_there():
    with pytest.raises(ServerError, match="reachable"):
        VideosModel("http://127.0.0.1:9", "m", retries=1).simulate([query()])


# --- job interfaces ------------------------------------------------------------------------------------------------

TOML = """
name = "gen4-turbo"
licence = "proprietary"
hosts = [HOSTS]

[headers]
Authorization = "Bearer ${RUNWAY_KEY}"
X-Runway-Version = "2024-11-06"

[job]
create = "URL/v1/image_to_video"
look = "URL/v1/tasks/{id}"
cancel = "URL/v1/tasks/{id}"
done = ["completed"]
failed = ["failed"]
output = "/output/0"
body = { model = "gen4_turbo", promptImage = "{image}", promptText = "{prompt}", seed = "{seed}", duration = "{seconds}", ratio = "{width}:{height}", tags = ["clip of {seconds} s"] }

[clip]
size = "64x48"
seconds = 5
"""


def described(tmp_path, server, hosts: str = "") -> str:
    path = tmp_path / "runway.toml"
    path.write_text(TOML.replace("URL", server.url).replace("HOSTS", hosts))
    return str(path)


def test_a_file_describes_a_job_interface(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("RUNWAY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    with VideoServer() as server:
        made = MODELS.create(f"jobs:config={described(tmp_path, server)}")
        (rollout,) = made.simulate([query()])
        (wish,) = server.wishes
        assert set(server.keys) == {f"Bearer {KEY}"}
    assert wish["duration"] == 5 and wish["ratio"] == "64:48" and wish["seed"] == 3
    assert wish["promptImage"].startswith("data:image/png;base64,") and "rotates left" in wish["promptText"]
    assert wish["tags"] == ["clip of 5 s"]
    expected = [(3 + 10 * i) % 250 for i in (2, 4, 6, 8, 10)]
    assert all(abs(a - b) <= 2 for a, b in zip(greys(rollout), expected))
    assert made.card.name == "gen4-turbo" and made.card.licence == "proprietary"
    assert "gen4_turbo" in made.card.settings["body"] and KEY not in repr(made.card) + caplog.text


def test_the_same_description_as_json(tmp_path, monkeypatch):
    import tomllib

    monkeypatch.setenv("RUNWAY_KEY", KEY)
    with VideoServer() as server:
        told = tomllib.loads(TOML.replace("URL", server.url).replace("HOSTS", ""))
        path = tmp_path / "runway.json"
        path.write_text(json.dumps(told))
        assert len(MODELS.create(f"jobs:config={path}").simulate([query()])[0].frames) == 5


def test_outputs_stay_on_the_host_unless_it_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNWAY_KEY", KEY)
    with VideoServer() as other:
        away = other.url.replace("127.0.0.1", "localhost")
        with VideoServer(elsewhere=away) as server:
            with pytest.raises(ServerError, match="not its own host") as caught:
                MODELS.create(f"jobs:config={described(tmp_path, server)}").simulate([query()])
            assert not other.asked and "signed" not in str(caught.value)
            made = MODELS.create(
                f"jobs:config={described(tmp_path, server, hosts=chr(34) + 'localhost' + chr(34))}"
            )
            assert len(made.simulate([query()])[0].frames) == 5
        assert other.keys == [""]
        with VideoServer(elsewhere="file:///etc") as server, pytest.raises(ServerError, match="none"):
            MODELS.create(f"jobs:config={described(tmp_path, server)}").simulate([query()])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[job]", "[jobs]", "'jobs' is not known"),
        ("[job", "[[job", "no TOML|needs create"),
        ("{prompt}", "{motion}", "{motion} stands for nothing"),
        ('"gen4_turbo"', '"${RUNWAY_KEY}"', "go into headers"),
        ("Bearer ${RUNWAY_KEY}", "Bearer abcdefgh", "put the key of 'Authorization' into the environment"),
        ("${RUNWAY_KEY}", "${NOT_SET_ANYWHERE}", "set the environment variable NOT_SET_ANYWHERE"),
        ('"/output/0"', '"output"', "JSON pointer"),
        ('output = "/output/0"', "", "either output"),
        ("tasks/{id}", "tasks", "has {id}"),
        ("http://127.0.0.1:9/v1/tasks", "http://localhost:9/v1/tasks", "same host"),
        ("seconds = 5", "second = 5", "'clip' has"),
        ("hosts = []", "hosts = [1]", "names of hosts"),
        ('name = "gen4-turbo"', "", "'name' is a text"),
        ('"gen4_turbo"', f'"{KEY}"', "a key stands in the file"),
    ],
)
def test_descriptions_that_are_wrong(old, new, said, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNWAY_KEY", KEY)
    text = TOML.replace("URL", "http://127.0.0.1:9").replace("HOSTS", "")
    assert old in text
    path = tmp_path / "x.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=said) as caught:
        MODELS.create(f"jobs:config={path}")
    assert KEY not in str(caught.value)


def test_a_description_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        MODELS.create(f"jobs:config={tmp_path / 'none.toml'}")


def test_pointers():
    value = {"a": [{"b/c": 1, "d~e": 2}], "": 3}
    assert [pointed(value, p) for p in ("/a/0/b~1c", "/a/0/d~0e", "/", "", "/a/1", "/a/x", "/q/r")] == [
        *(1, 2, 3),
        value,
        *(None, None, None),
    ]


def test_a_clip_may_be_longer_or_shorter_than_the_plan():
    assert Clip(frames_per_action=1).wish(query(length=2)).frames == 3
    assert Clip().wish(query(shape=(5, 500))).values()["size"] == "496x16"


def test_the_example_can_be_read(monkeypatch):
    monkeypatch.setenv("RUNWAY_KEY", KEY)
    path = Path(__file__).parents[2] / "examples" / "video_service.toml"
    assert MODELS.create(f"jobs:config={path}").card.name == "gen4-turbo"
