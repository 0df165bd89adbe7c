"""A video service on loopback: `/v1/videos` as its servers document it, and a Runway-like job interface."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from worldloop.models import mp4


def clip(count: int, width: int = 64, height: int = 48, base: int = 0) -> bytes:
    """Pictures of one grey each, ten levels brighter from one to the next."""
    levels = [(base + 10 * i) % 250 for i in range(count)]
    return mp4.encode([np.full((height, width, 3), v, np.uint8) for v in levels])


class VideoServer:
    """Notes what it is asked. `faults` names what goes wrong at the n-th request of a kind (`create`, `look`, `content`)."""

    def __init__(
        self, looks: int = 2, faults: dict[str, list[str]] | None = None, elsewhere: str = ""
    ) -> None:
        self.looks, self.faults, self.elsewhere = looks, faults or {}, elsewhere
        self.asked: list[tuple[str, str]] = []
        self.wishes: list[dict] = []
        self.keys: list[str] = []
        self.counts: dict[str, int] = {}
        self.jobs: dict[str, dict] = {}
        self.flying = self.most_flying = 0
        self.lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                owner.serve(self)

            def do_GET(self) -> None:
                owner.serve(self)

            def do_DELETE(self) -> None:
                owner.serve(self)

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Clients that leave are part of the tests."""
                if not isinstance(sys.exc_info()[1], ConnectionError):
                    raise

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self) -> VideoServer:
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        kind = self.kind(handler.command, handler.path)
        with self.lock:
            self.asked.append((handler.command, handler.path))
            self.keys.append(handler.headers.get("Authorization", ""))
            number = self.counts.get(kind, 0)
            self.counts[kind] = number + 1
            self.flying += 1
            self.most_flying = max(self.most_flying, self.flying)
        faults = self.faults.get(kind, [])
        fault = (
            faults[min(number, len(faults) - 1)]
            if faults and (number < len(faults) or faults[-1] == "...")
            else ""
        )
        if fault == "...":
            fault = faults[-2]
        try:
            self.answer(handler, kind, body, fault)
        finally:
            with self.lock:
                self.flying -= 1

    @staticmethod
    def kind(method: str, path: str) -> str:
        if method == "DELETE":
            return "cancel"
        if method == "POST":
            return "create"
        return "content" if path.partition("?")[0].endswith(("/content", ".mp4")) else "look"

    def answer(self, handler: BaseHTTPRequestHandler, kind: str, body: bytes, fault: str) -> None:
        key = handler.headers.get("Authorization", "")
        if fault.isdigit():
            error = {"error": {"code": "some_code", "message": f"no, not with {key}"}}
            self.json(handler, int(fault), error, {"Retry-After": "0"} if fault == "429" else {})
        elif fault == "moderated":
            error = {"error": {"code": "moderation_blocked", "message": "Your request was blocked."}}
            self.json(handler, 400, error)
        elif fault == "hang up":
            handler.close_connection = True
        elif fault == "text":
            self.send(handler, 200, b"<html>hello</html>", "text/html")
        elif fault == "drip":
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
            for _ in range(400):
                handler.wfile.write(b" ")
                time.sleep(0.05)
        elif kind == "create":
            self.create(handler, body, fault)
        elif kind == "cancel":
            self.json(handler, 200, {"deleted": True})
        elif kind == "look":
            self.look(handler, fault)
        else:
            self.content(handler, fault)

    def create(self, handler: BaseHTTPRequestHandler, body: bytes, fault: str) -> None:
        wish = parsed(handler.headers["Content-Type"], body)
        with self.lock:
            name = f"job/{len(self.jobs)}"
            self.wishes.append(wish)
            width, height = map(int, str(wish.get("size", "64x48")).split("x"))
            made = clip(int(wish.get("num_frames", 11)), width, height, int(wish["seed"]) % 7)
            self.jobs[name] = {"looks": 0, "clip": made, "fault": fault}
        if handler.path.endswith("/sync"):
            self.send(handler, 200, made, "video/mp4")
        else:
            self.json(handler, 200, {"id": name, "object": "video", "status": "queued", "created_at": 1})

    def look(self, handler: BaseHTTPRequestHandler, fault: str) -> None:
        name = handler.path.removeprefix("/v1/videos/").removeprefix("/v1/tasks/").replace("%2F", "/")
        job = self.jobs[name]
        job["looks"] += 1
        done = job["looks"] >= self.looks
        status = (
            "failed"
            if job["fault"] == "fails" or fault == "fails"
            else "completed"
            if done
            else "in_progress"
        )
        told = {"id": name, "status": status, "error": None}
        if status == "failed":
            told["error"] = {"code": "out_of_memory", "message": "the model fell over"}
        if status == "completed":
            host = self.elsewhere or self.url
            told["output"] = [f"{host}/files/{name.split('/')[1]}.mp4?signed=abc"]
        self.json(handler, 200, told)

    def content(self, handler: BaseHTTPRequestHandler, fault: str) -> None:
        asked = re.search(r"job/(\d+)/content|files/(\d+).mp4", handler.path.replace("%2F", "/"))
        name = f"job/{asked[1] or asked[2]}"
        data = self.jobs[name]["clip"] if self.jobs else clip(11)
        if fault == "cut off":
            handler.send_response(200)
            handler.send_header("Content-Type", "video/mp4")
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data[: len(data) // 2])
            handler.close_connection = True
        elif fault == "half":
            self.send(handler, 200, data[: len(data) // 2], "video/mp4")
        elif fault == "one picture":
            self.send(handler, 200, clip(1), "video/mp4")
        elif fault == "moved":
            self.send(handler, 302, b"", "", {"Location": f"{self.elsewhere}/files/0.mp4"})
        else:
            self.send(handler, 200, data, "video/mp4")

    def json(self, handler, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        self.send(handler, status, json.dumps(value).encode(), "application/json", headers)

    @staticmethod
    def send(handler, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        handler.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


def parsed(kind: str, body: bytes) -> dict:
    """The fields of a JSON or multipart body; an uploaded file as its bytes."""
    if kind == "application/json":
        return json.loads(body)
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    out = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        out[name] = data if part.get_filename() else data.decode()
    return out
