"""Whatever comes over the wire, the server says so in a declared way, in time, and serves the next one as before."""

from __future__ import annotations

import contextlib
import json
import socket
import urllib.parse
from dataclasses import dataclass

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from worldloop.models import mp4
from worldloop.models.remote import messages
from worldloop.models.remote.client import RemoteModel
from worldloop.models.remote.wire import pack, unpack

from served import Shift, Stepped, queries, same, serving

LIMIT = 2**18
SECONDS = 30.0
DECLARED = {200, 400, 401, 404, 405, 413, 422, 503, 504}
KINDS = {"message", "session", "size", "model", "busy", "time", "token", "request"}
QUESTION = messages.question(queries(2, 4))
QUERY = queries(1, 4)[0]
CONTEXT = messages.context(QUERY.plan.vocabulary, QUERY.history, QUERY.actions)
QUICK = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
LONG = settings(QUICK, max_examples=10_000)
QUICK_TALK, LONG_TALK = settings(QUICK, max_examples=80), settings(QUICK, max_examples=2_000)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=40)
    | st.sampled_from(["move_forward", "", "0", "rgb", "|O", "<f4", -1, 2**40, 10**9, "\x00"])
)
CLAIMED = st.lists(st.integers(-1, 2**34) | st.sampled_from([3, 1, 2**16]), max_size=5)
ARRAYS = st.one_of(
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["|u1", "<f8", ">i4", "|O", "V8"]),
            "shape": CLAIMED,
            "data": st.binary(max_size=64),
        }
    ),
    st.fixed_dictionaries({"shape": CLAIMED, "png": st.lists(st.binary(max_size=30), max_size=3)}),
    st.fixed_dictionaries(
        {"shape": CLAIMED, "mp4": st.binary(max_size=60) | st.just(mp4.encode([QUERY.history[0].rgb] * 2))}
    ),
)
KEYS = st.sampled_from(["version", "contexts", "candidates", "rgb", "op", "session"]) | st.text(max_size=6)
VALUES = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)


def changed(draw, value, depth: int = 0):
    """A message with one of its parts replaced, left out or doubled."""
    if isinstance(value, dict) and value and (depth < 1 or draw(st.integers(0, 3))):
        name = draw(st.sampled_from(sorted(value)))
        act = draw(st.sampled_from(["deeper", "deeper", "replace", "drop"]))
        rest = {k: v for k, v in value.items() if k != name}
        if act == "drop":
            return rest
        return {**rest, name: changed(draw, value[name], depth + 1) if act == "deeper" else draw(VALUES)}
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        i = draw(st.integers(0, len(value) - 1))
        return [
            *value[:i],
            changed(draw, value[i], depth + 1),
            *value[i : i + draw(st.sampled_from([0, 1, 40]))],
            *value[i + 1 :],
        ]
    return draw(VALUES)


def mutated(draw, data: bytes) -> bytes:
    """Bytes with some of them changed, cut out or put in."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        at, act = (
            draw(st.integers(0, max(len(out) - 1, 0))),
            draw(st.sampled_from(["flip", "cut", "end", "put"])),
        )
        if act == "flip" and out:
            out[at] ^= draw(st.integers(1, 255))
        elif act == "cut":
            del out[at : at + draw(st.integers(1, 30))]
        elif act == "end":
            del out[at:]
        else:
            out[at:at] = draw(st.binary(max_size=20))
    return bytes(out)


@st.composite
def bodies(draw, good: dict) -> bytes:
    """A message of the protocol, more or less."""
    kind = draw(
        st.sampled_from(
            [
                "good",
                "good",
                "changed",
                "changed",
                "changed",
                "mutated",
                "mutated",
                "values",
                "bytes",
                "large",
            ]
        )
    )
    if kind == "good":
        return pack(good)
    if kind == "changed":
        return pack(changed(draw, good))
    if kind == "mutated":
        return mutated(draw, pack(good))
    if kind == "values":
        return msgpack.packb(draw(VALUES))
    if kind == "large":
        return b"\xc6" + bytes(draw(st.integers(LIMIT - 9, LIMIT + 9)))
    return draw(st.binary(max_size=300))


@dataclass
class Asked:
    """A request as bytes, and how it is sent."""

    data: bytes
    stops: bool
    """The client sends no more and waits; else it has said all."""

    def __repr__(self) -> str:
        return f"Asked({self.data[:600]!r}, {len(self.data)} bytes, {self.stops})"


PATHS = st.sampled_from(
    [
        *("/v1/rollouts",) * 20,
        *("/v1/spec", "/v1/health", "/v1/metrics", "/v1/sessions", "/", "*", "", "//", "/v1/rollouts/"),
        *(
            "/v1/..%2f..%2fetc/passwd",
            "/v1/../../etc/passwd",
            "/%2e%2e/%2e%2e/x",
            "/v1/rollouts%00",
            "/v1/spec?x=%ff",
        ),
        *("http://elsewhere/v1/spec", "/v1/rollouts;a=b#c", "/\xff\xfe", "/" + "a" * 5000),
    ]
)
ODD_PATHS = st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=30).map("/".__add__)
HEADERS = st.lists(
    st.sampled_from(
        [
            *(
                "X-Worldloop-Encoding: png",
                "X-Worldloop-Encoding: mp4",
                "X-Worldloop-Encoding: \x01",
                "Accept: */*",
            ),
            *(
                "Authorization: Bearer x",
                "Authorization: \xe9",
                "Content-Type: text/html",
                "Expect: 100-continue",
            ),
            *("Content-Length: 5", "Content-Length: -1", "Content-Length: 99999999999999999999", "Host: a b"),
            *("Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Connection: keep-alive, upgrade"),
            *(
                "Upgrade: websocket",
                "Sec-WebSocket-Key: x",
                "Sec-WebSocket-Version: 13",
                "Cookie: " + "x" * 9000,
            ),
            *("no colon", ": no name", "a\x00b: c", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "X: y\n z"),
        ]
    ),
    max_size=4,
)


@st.composite
def requests(draw) -> Asked:
    """Anything that can be sent to a port."""
    if draw(st.integers(0, 30)) == 0:
        return Asked(draw(st.binary(max_size=200)), draw(st.booleans()))
    method = draw(
        st.sampled_from(
            ["POST"] * 20 + ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "post", "\x16\x03"]
        )
    )
    body = draw(bodies(QUESTION))
    headers = draw(HEADERS) if draw(st.integers(0, 5)) == 0 else []
    if not any(h.startswith(("Content-Length", "Transfer")) for h in headers):
        headers.append(f"Content-Length: {len(body)}")
    lines = [
        f"{method} {draw(ODD_PATHS if draw(st.integers(0, 9)) == 0 else PATHS)} HTTP/{draw(st.sampled_from(['1.1'] * 9 + ['1.0', '9.9', '']))}",
        "Host: x",
        *headers,
    ]
    data = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
    if draw(st.integers(0, 9)) == 0:
        return Asked(data[: draw(st.integers(0, len(data)))], True)
    return Asked(data, False)


def replied(url: str, asked: Asked) -> bytes:
    """What the server says until it is done or the client has waited for nothing."""
    parts = urllib.parse.urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as link:
        out = b""
        try:
            link.sendall(asked.data)
            if asked.stops:
                with contextlib.suppress(OSError):  # the server may have gone first
                    link.shutdown(socket.SHUT_WR)
            while not complete(out, bodiless=asked.data.startswith(b"HEAD")):
                link.settimeout(SECONDS if out or not pending(asked) else 0.05)
                piece = link.recv(2**16)
                if not piece:
                    break
                out += piece
        except ConnectionError:
            return out
        except TimeoutError:
            assert pending(asked), f"no reply in {SECONDS} s to {asked.data[:300]!r}"
        return out


def pending(asked: Asked) -> bool:
    """Whether the server may wait for more of the request."""
    head, gap, body = asked.data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    sizes = [
        int(v)
        for n, _, v in (line.partition(b": ") for line in lines)
        if n == b"content-length" and v.isdigit()
    ]
    return (
        not gap
        or b"chunked" in head.lower()
        or (bool(sizes) and max(sizes) > len(body))
        or b"upgrade" in head.lower()
    )


def complete(out: bytes, bodiless: bool) -> bool:
    """Whether a reply, or the last of several, is there as a whole; one to HEAD has no body."""
    while out:
        head, gap, rest = out.partition(b"\r\n\r\n")
        if not gap:
            return False
        if head.startswith(b"HTTP/1.1 100"):
            out = rest
            continue
        size = next(
            (int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")),
            0,
        )
        if bodiless:
            return True
        if len(rest) < size:
            return False
        if len(rest) == size:
            return True
        out = rest[size:]
    return False


def check(url: str, asked: Asked) -> None:
    out = replied(url, asked)
    while out.startswith(b"HTTP/1.1 100"):
        out = out.partition(b"\r\n\r\n")[2]
    if not out:
        return  # it hung up on, or waits for, what is no request
    status = int(out[9:12])
    switches = status in (101, 426) and b"pgrade" in asked.data
    assert status in DECLARED or switches, out[:300]
    body = out.partition(b"\r\n\r\n")[2]
    if status >= 400 and body[:1] == b"{":
        assert json.JSONDecoder().raw_decode(body.decode())[0]["error"]["kind"] in KINDS


@pytest.fixture(scope="module")
def server():
    with serving(Shift(), max_request_bytes=LIMIT, time_limit=20, max_waiting=10**6) as url:
        asked = queries(3, 8)
        before = RemoteModel(url).simulate(asked)
        yield url
        after = RemoteModel(url).simulate(asked)
        assert all(map(same, before, after)) and all(map(same, before, Shift().simulate(asked)))


@QUICK
@given(requests())
def test_any_request_gets_a_declared_reply(server, asked):
    check(server, asked)


@pytest.mark.slow
@LONG
@given(requests())
def test_ten_thousand_requests_get_declared_replies(server, asked):
    check(server, asked)


MESSAGES = [
    {"op": "reset", "context": CONTEXT, "seed": 1, "id": 1},
    {"op": "step", "session": "0", "actions": ["turn_left"], "id": 2},
    {"op": "fork", "session": "0", "seed": 3},
    {"op": "close", "session": "1"},
]


@pytest.fixture(scope="module")
def talk():
    """Sends a message over a WebSocket and gives the reply; None where the server ended the conversation."""
    with serving(Stepped(), max_request_bytes=LIMIT, max_sessions=40, sessions_per_client=40) as url:
        address, held = url.replace("http", "ws") + "/v1/sessions", []

        def ask(data: bytes | str):
            if not held:
                held.append(connect(address, max_size=2**26, compression=None, close_timeout=1).__enter__())
            try:
                held[0].send(data)
                return unpack(held[0].recv(timeout=SECONDS))
            except ConnectionClosed:
                held.pop()
                return None

        yield ask
        with RemoteModel(url).session(QUERY.plan.vocabulary, QUERY.history, QUERY.actions) as walk:
            assert len(walk.step(["turn_left", "turn_right"]).frames) == 2


def check_message(talk, data: bytes | str) -> None:
    reply = talk(data)
    if reply is None:
        assert isinstance(data, str) or len(data) > LIMIT
    elif "error" in reply:
        assert reply["error"]["kind"] in KINDS, reply
    else:
        assert reply.keys() >= {"id"}


TALK = st.sampled_from(MESSAGES).flatmap(bodies) | st.text(max_size=5)


@QUICK_TALK
@given(TALK)
def test_any_message_gets_a_reply(talk, data):
    check_message(talk, data)


@pytest.mark.slow
@LONG_TALK
@given(TALK)
def test_thousands_of_messages_get_replies(talk, data):
    check_message(talk, data)


@pytest.mark.parametrize(
    "frame",
    [b"\x82", b"\xff" * 40, b"\x82\xff" + b"\xff" * 8, b"\x89\xff\x00\x00", b"GET / HTTP/1.1\r\n\r\n"],
)
def test_frames_that_are_none_end_their_conversation_alone(server, frame):
    parts = urllib.parse.urlsplit(server)
    head = (
        "GET /v1/sessions HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as link:
        link.sendall(head.encode())
        assert link.recv(2000).startswith(b"HTTP/1.1 101")
        link.sendall(frame)
        link.shutdown(socket.SHUT_WR)
        while link.recv(2000):
            pass
