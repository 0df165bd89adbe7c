"""A chat server on loopback that answers by the rules, or misbehaves as told."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

Script = Callable[[int, dict], "str | dict | None"]


def fitting(body: dict) -> dict:
    """A reply that fits the request's schema and depends on nothing but its seed and its words."""
    schema = body["response_format"]["json_schema"]
    name, seen = schema["name"], schema["schema"]["properties"]
    said = json.dumps(body["messages"])
    rng = np.random.default_rng([body["seed"], len(said)])
    if name == "proposal":
        kind, lines = seen["plans"]["items"], said.split("a list of exactly ")[1]
        length = int(lines.split()[0])
        action = kind["items"]
        if "enum" in action:
            pick = [n for n in action["enum"] if n != "stop"]
            make = lambda: [pick[i] for i in rng.integers(len(pick), size=length)]  # noqa: E731
        else:
            make = lambda: rng.uniform(0.3, 0.4, (length, action["minItems"])).round(3).tolist()  # noqa: E731
        return {"why": "so", "plans": [make() for _ in range(seen["plans"]["maxItems"])]}
    if name == "revision":
        count = seen["scores"]["maxItems"]
        scores = rng.integers(0, 100, count).tolist()
        return {"why": "so", "scores": scores, "choice": int(np.argmax(scores)) + 1, "plan": None}
    if name == "answer":
        return {"why": "so", "answer": seen["answer"].get("enum", ["a lamp"])[0], "confidence": 0.6}
    return {"why": "so", "grade": 4}


def completion(content: str | None, logprobs: bool = True, **message: object) -> dict:
    """A chat completion. Its tokens are pieces of five characters with probability 0.9 each."""
    pieces = [content[i : i + 5] for i in range(0, len(content), 5)] if content else []
    tokens = {"content": [{"token": t, "logprob": float(np.log(0.9)), "bytes": None} for t in pieces]}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, **message},
        "finish_reason": "stop",
    }
    if logprobs:
        choice["logprobs"] = tokens
    usage = {"prompt_tokens": 100, "completion_tokens": len(pieces), "total_tokens": 100 + len(pieces)}
    return {"id": "x", "object": "chat.completion", "model": "fake", "choices": [choice], "usage": usage}


class HostileServer:
    """`script(number, body)` names a fault for a request, gives the reply's content as a dict, or None."""

    def __init__(self, script: Script = lambda number, body: None, delay: float = 0.0) -> None:
        self.script, self.delay = script, delay
        self.bodies: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.flying = self.most_flying = 0
        self.lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                try:
                    owner.serve(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that was killed or hung up is part of the tests."""
                if not isinstance(sys.exc_info()[1], ConnectionError):
                    raise

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def __enter__(self) -> HostileServer:
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self.lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.headers.append(dict(handler.headers))
            self.times.append(time.monotonic())
            self.flying += 1
            self.most_flying = max(self.most_flying, self.flying)
        try:
            time.sleep(self.delay)
            self.answer(handler, self.script(number, body), body)
        finally:
            with self.lock:
                self.flying -= 1

    def answer(self, handler: BaseHTTPRequestHandler, fault: str | dict | None, body: dict) -> None:
        key = handler.headers.get("Authorization", "")
        echo = {"error": {"message": f"bad header {key}"}}
        good = completion(json.dumps(fault if isinstance(fault, dict) else fitting(body)))
        if fault is None or isinstance(fault, dict):
            send(handler, 200, good)
        elif fault.isdigit():
            send(handler, int(fault), echo)
        elif fault.startswith("429 "):
            send(handler, 429, echo, {"Retry-After": fault.split(" ", 1)[1]})
        elif fault == "silence":
            time.sleep(8)
            handler.close_connection = True
        elif fault == "drip":
            handler.send_response(200)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            for _ in range(160):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.05)
        elif fault == "hang up":
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        elif fault == "half a body":
            data = json.dumps(good).encode()
            send(handler, 200, data[: len(data) // 2], length=len(data))
        elif fault == "half a JSON":
            send(handler, 200, json.dumps(good).encode()[:-20])
        elif fault == "no choices":
            send(handler, 200, {"object": "chat.completion", "choices": []})
        elif fault == "huge":
            send(handler, 200, completion("x" * 300_000, logprobs=False))
        elif fault == "html":
            send(handler, 200, b"<html>hello</html>", {"Content-Type": "text/html"})
        elif fault == "gzip":
            send(handler, 200, good, {"Content-Encoding": "gzip"})
        elif fault == "redirect":
            send(handler, 307, {}, {"Location": self.url + "/elsewhere"})
        elif fault == "refusal":
            send(handler, 200, completion(None, refusal="I would rather not"))
        elif fault == "chatter":
            send(handler, 200, completion("Sure! Turn left."))
        elif fault == "empty":
            send(handler, 200, completion(None))
        elif fault == "cut content":
            send(handler, 200, completion(json.dumps(fitting(body))[:-3]))
        elif fault == "wrong content":
            send(
                handler,
                200,
                completion(json.dumps({"why": "so", "plans": [["fly"]], "grade": 9, "answer": 3})),
            )
        elif fault == "no logprobs":
            send(handler, 200, completion(json.dumps(fitting(body)), logprobs=False))
        elif fault == "other logprobs":
            send(
                handler,
                200,
                good | {"choices": [good["choices"][0] | {"logprobs": {"content": [{"token": "?"}]}}]},
            )
        elif fault == "no usage":
            send(handler, 200, {k: v for k, v in good.items() if k != "usage"})
        elif fault == "echo":
            send(handler, 200, completion(json.dumps(fitting(body) | {"why": key})))
        else:
            raise AssertionError(fault)


def send(
    handler: BaseHTTPRequestHandler,
    status: int,
    body: dict | bytes,
    headers: dict[str, str] | None = None,
    length: int | None = None,
) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    wanted = {
        "Content-Type": "application/json",
        "Content-Length": str(length or len(data)),
        **(headers or {}),
    }
    wanted["X-Echo"] = handler.headers.get("Authorization", "")
    for name, value in wanted.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)
    handler.wfile.flush()
    if length:
        handler.close_connection = True
