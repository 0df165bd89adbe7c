"""A job interface as data: how a video is asked for, waited for and fetched."""

from __future__ import annotations

import base64
import json
import random
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from worldloop.core import ModelError, ServerError, WorldloopError
from worldloop.models.retrying import persist
from worldloop.models.services.reach import Caller, Film

T = TypeVar("T")
FIRST_LOOK, LONGEST_LOOK = 0.5, 15.0
"""Seconds between looks at a job; they grow by half."""
LONGEST_PAUSE = 60.0
"""Seconds; a service that asks for a longer pause is asked again after this one."""
LEAVING_SECONDS = 5.0
"""For telling the service that nobody waits for a job any more."""
MARK = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Wish:
    """What is asked of a service."""

    prompt: str
    picture: bytes
    """The present frame as a PNG file, of the wanted size."""
    seed: int
    frames: int
    fps: int
    seconds: float
    width: int
    height: int

    def values(self) -> dict[str, Any]:
        """What placeholders of a template stand for."""
        seconds = int(self.seconds) if self.seconds == int(self.seconds) else self.seconds
        sizes = {"frames": self.frames, "fps": self.fps, "width": self.width, "height": self.height}
        image = "data:image/png;base64," + base64.b64encode(self.picture).decode()
        told = {"prompt": self.prompt, "image": image, "seed": self.seed, "seconds": seconds}
        return {
            **told,
            **sizes,
            "size": f"{self.width}x{self.height}",
            "ratio": f"{self.width}:{self.height}",
        }


NAMES = tuple(Wish("", b"", 0, 1, 1, 1.0, 1, 1).values())
"""The placeholders."""


@dataclass(frozen=True)
class Job:
    """Addresses and names of one job interface. Paths into JSON are pointers (RFC 6901), such as `/output/0`."""

    create: str
    """Address that a job is posted to."""
    look: str
    """Address that tells how a job is; `{id}` stands for the job."""
    body: Mapping[str, Any]
    """What is posted; a text of nothing but a placeholder becomes its value, with its type."""
    id: str = "/id"
    status: str = "/status"
    done: tuple[str, ...] = ("completed",)
    failed: tuple[str, ...] = ("failed", "cancelled")
    """Any other status means that it is not ready."""
    reasons: tuple[str, ...] = ("/error/code", "/error/message")
    """Where a failed job says why."""
    output: str = ""
    """Where a finished job tells the address of the video..."""
    content: str = ""
    """... or the address where it always is, with `{id}`."""
    cancel: str = ""
    """Address to DELETE a job that nobody waits for; empty where that is not possible."""
    form: str = "json"
    """`json`, or `multipart`, where `{image}` becomes an uploaded file."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further ones of the post."""


def pointed(value: Any, pointer: str) -> Any:
    """What a JSON pointer points at, or None."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def filled(template: Any, values: Mapping[str, Any]) -> Any:
    """A template with its placeholders replaced; what is no placeholder stays as it is."""
    if isinstance(template, Mapping):
        return {k: filled(v, values) for k, v in template.items()}
    if isinstance(template, list | tuple):
        return [filled(v, values) for v in template]
    if not isinstance(template, str):
        return template
    if (whole := MARK.fullmatch(template)) and whole[1] in values:
        return values[whole[1]]
    return MARK.sub(lambda m: str(values[m[1]]) if m[1] in values else m[0], template)


def posted(job: Job, wish: Wish) -> tuple[bytes, dict[str, str]]:
    """The body of the post and its headers."""
    if job.form == "json":
        body = json.dumps(filled(job.body, wish.values())).encode()
        return body, {"Content-Type": "application/json", **job.headers}
    # A boundary of the content, so that the same wish is the same request.
    edge = f"worldloop-{random.Random(wish.picture + wish.prompt.encode()).getrandbits(128):032x}"
    values, pieces = {**wish.values(), "image": None}, []
    for name, template in job.body.items():
        value = filled(template, values)
        head = f'--{edge}\r\nContent-Disposition: form-data; name="{name}"'
        if value is None:
            pieces.append(
                f'{head}; filename="now.png"\r\nContent-Type: image/png\r\n\r\n'.encode() + wish.picture
            )
        else:
            pieces.append(f"{head}\r\n\r\n{value}".encode())
    body = b"\r\n".join([*pieces, f"--{edge}--\r\n".encode()])
    return body, {"Content-Type": f"multipart/form-data; boundary={edge}", **job.headers}


class Runner:
    """Runs jobs: posts a wish, looks until it is fulfilled, and fetches the video."""

    def __init__(self, job: Job, caller: Caller) -> None:
        self.job, self.caller = job, caller

    def run(self, wish: Wish) -> Film:
        """The video. ModelError when the service refuses or fails the job, ServerError when it brings none in time.

        A job that is given up is taken back where the service knows how.
        """
        job, caller = self.job, self.caller
        ends = time.monotonic() + caller.reach.timeout
        body, headers = posted(job, wish)
        made = self._persist(lambda left: caller.json("POST", job.create, body, headers, left), ends)
        number = pointed(made, job.id)
        if not isinstance(number, str | int) or isinstance(number, bool) or not 0 < len(str(number)) <= 500:
            raise ServerError(f"{caller.who}: its reply has no job at {job.id}")
        at = {"id": urllib.parse.quote(str(number), safe="")}
        try:
            told = self._waited(filled(job.look, at), made, ends)
            url = filled(job.content, at) if job.content else self._address(told)
            return self._persist(lambda left: caller.video("GET", url, None, {}, left), ends)
        except BaseException:
            self._cancel(at)
            raise

    def run_at_once(self, wish: Wish) -> Film:
        """The same for a service that answers the post with the video. Errors as above."""
        job, caller = self.job, self.caller
        body, headers = posted(job, wish)
        ends = time.monotonic() + caller.reach.timeout
        return self._persist(lambda left: caller.video("POST", job.create, body, headers, left), ends)

    def _waited(self, url: str, told: Any, ends: float) -> Any:
        """What the service says of a job that is done."""
        job, caller, pause = self.job, self.caller, FIRST_LOOK
        while True:
            status = pointed(told, job.status)
            if status in job.done:
                return told
            if status in job.failed:
                reasons = (pointed(told, r) for r in job.reasons)
                said = caller.redact(": ".join(str(r) for r in reasons if r))[:400]
                raise ModelError(
                    f"{caller.who}: the service {status} the job: {said or 'it does not say why'}"
                )
            left = ends - time.monotonic()
            wait = pause * (0.75 + random.random() / 2)
            state = caller.redact(str(status))[:40]
            late = ServerError(
                f"{caller.who}: the job was not done within {caller.reach.timeout:g} s (it is {state!r}); raise timeout"
            )
            if wait >= left:
                raise late
            time.sleep(wait)
            pause = min(1.5 * pause, LONGEST_LOOK)
            try:
                told = self._persist(lambda left: caller.json("GET", url, None, {}, left), ends)
            except ServerError:
                # The last look may have had no time to be answered.
                if time.monotonic() >= ends:
                    raise late from None
                raise

    def _address(self, told: Any) -> str:
        url = pointed(told, self.job.output)
        if not isinstance(url, str) or not url:
            raise ServerError(
                f"{self.caller.who}: the finished job has no address of a video at {self.job.output}"
            )
        return urllib.parse.urljoin(self.job.create, url)

    def _cancel(self, at: Mapping[str, str]) -> None:
        if not self.job.cancel:
            return
        try:
            self.caller.json("DELETE", filled(self.job.cancel, at), None, {}, LEAVING_SECONDS)
        except WorldloopError:
            return  # it is over anyway, and the first failure is the one to tell

    def _persist(self, once: Callable[[float], T], ends: float) -> T:
        reach = self.caller.reach
        return persist(once, who=self.caller.who, ends=ends, retries=reach.retries, longest=LONGEST_PAUSE)
