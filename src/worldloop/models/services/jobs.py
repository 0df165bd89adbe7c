"""Job interfaces for video, such as Runway's, as world models; a small file says how each is spoken to."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from worldloop.core import InputError, ModelCard
from worldloop.core.network import check_url, in_the_clear
from worldloop.core.secret import Secret
from worldloop.models.services.clip import NOTES, Clip, ClipModel
from worldloop.models.services.job import MARK, NAMES, Job, Runner, Wish
from worldloop.models.services.reach import Caller, Film, Reach, origin_of

VARIABLE = re.compile(r"\$\{(\w+)\}")
KEYED = re.compile(r"authorization|cookie|(api|auth|access)[-_]?(key|token)|secret", re.IGNORECASE)
"""Headers whose value is a secret."""
TOP = {"name", "licence", "headers", "job", "clip", "hosts"}


class JobsModel(ClipModel):
    """A generator behind a job interface that a JSON or TOML file describes; see docs/protocol.md."""

    def __init__(self, config: str, timeout: float = 900.0, retries: int = 4, lanes: int = 4) -> None:
        """config: path of the file. timeout: seconds for one plan. lanes: plans in flight.

        InputError for a file that cannot be read or says something else than it should, and for keys that are not in the
        environment.
        """
        told = _read(Path(config))
        who = f"{config}"
        name, licence = (_text(told, n, who, d) for n, d in (("name", ""), ("licence", "unknown")))
        job, clip = _job(told.get("job"), who), _clip(told.get("clip", {}), who)
        hosts = told.get("hosts", [])
        if not isinstance(hosts, list) or not all(isinstance(h, str) for h in hosts):
            raise InputError(f"{who}: hosts is a list of names of hosts")
        headers, secrets = _headers(told.get("headers", {}), job.create, who)
        public = {"create": job.create, "body": json.dumps(job.body, sort_keys=True)}
        for secret in secrets:
            if any(secret.redact(str(v)) != str(v) for v in (*public.values(), *asdict(clip).values(), name)):
                raise InputError(
                    f"{who}: a key stands in the file; take it out, and name its variable in headers"
                )
        reach = Reach(timeout, retries, lanes, tuple(h.lower() for h in hosts))
        summary = f"a video service at {origin_of(job.create)[1]}"
        settings = {**public, **asdict(clip)}
        super().__init__(
            ModelCard(name, summary, "text", licence=licence, settings=settings, notes=NOTES), clip, lanes
        )
        self._runner = Runner(job, Caller(job.create, headers, secrets, reach))

    def generate(self, wish: Wish) -> Film:
        """The clip that the service makes."""
        return self._runner.run(wish)

    def close(self) -> None:
        """Close the connections."""
        self._runner.caller.close()


def _read(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the description of a video service cannot be read: {error}") from None
    try:
        told = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        kind = "TOML" if path.suffix == ".toml" else "JSON"
        raise InputError(f"{path} is no {kind}: {str(error)[:200]}") from None
    if not isinstance(told, dict):
        raise InputError(f"{path} should be an object with {', '.join(sorted(TOP))}")
    if unknown := sorted(told.keys() - TOP):
        raise InputError(f"{path}: {unknown[0]!r} is not known; it has {', '.join(sorted(TOP))}")
    return told


def _text(told: Mapping[str, Any], name: str, who: str, otherwise: str = "") -> str:
    value = told.get(name, otherwise)
    if not isinstance(value, str) or not value:
        raise InputError(f"{who}: {name!r} is a text")
    return value


def _job(told: Any, who: str) -> Job:
    known = {f.name: f.type for f in fields(Job) if f.name not in ("headers", "form")}
    if not isinstance(told, dict) or told.keys() - known or not {"create", "look", "body"} <= told.keys():
        raise InputError(f"{who}: 'job' needs create, look and body, and may have {', '.join(known)}")
    given: dict[str, Any] = {}
    for name, value in told.items():
        if name == "body":
            _check_marks(value, who)
            good = isinstance(value, dict)
        elif name in ("done", "failed", "reasons"):
            good = isinstance(value, list) and all(isinstance(v, str) for v in value)
            value = tuple(value) if good else value
        else:
            good = isinstance(value, str)
        if not good:
            raise InputError(
                f"{who}: {name!r} of the job should be {'an object' if name == 'body' else 'text'}"
            )
        given[name] = value
    job = Job(**given)
    for name in ("id", "status", "output", *(f"reasons {i}" for i in range(len(job.reasons)))):
        pointer = job.reasons[int(name.split()[1])] if " " in name else getattr(job, name)
        if pointer and not pointer.startswith("/"):
            raise InputError(
                f"{who}: {name.split()[0]!r} is a JSON pointer and begins with a slash: /{pointer}"
            )
    if bool(job.output) == bool(job.content):
        raise InputError(
            f"{who}: the job has either output (where it tells the address) or content (the address)"
        )
    if not job.done:
        raise InputError(f"{who}: 'done' names the status of a finished job")
    for name in ("create", "look", "content", "cancel"):
        url = getattr(job, name)
        if url:
            check_url(url, f"{who}: {name}")
            if origin_of(url) != origin_of(job.create):
                raise InputError(f"{who}: {name} is an address of the same host as create")
        if name in ("look", "content", "cancel") and url and "{id}" not in url:
            raise InputError(f"{who}: {name} has {{id}} where the job's name goes")
    return job


def _check_marks(value: Any, who: str) -> None:
    """InputError for a placeholder that stands for nothing, or a key outside of the headers."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            _check_marks(inner, who)
    elif isinstance(value, str):
        if VARIABLE.search(value):
            raise InputError(f"{who}: variables of the environment go into headers, and nowhere else")
        if unknown := [m for m in MARK.findall(value) if m not in NAMES]:
            raise InputError(f"{who}: {{{unknown[0]}}} stands for nothing; there are {', '.join(NAMES)}")


def _clip(told: Any, who: str) -> Clip:
    known = [f.name for f in fields(Clip)]
    if not isinstance(told, dict) or told.keys() - set(known):
        raise InputError(f"{who}: 'clip' has {', '.join(known)}")
    try:
        return Clip(**told)
    except TypeError as error:
        raise InputError(f"{who}: clip: {error}") from None


def _headers(told: Any, url: str, who: str) -> tuple[dict[str, str], tuple[Secret, ...]]:
    """Headers with keys of the environment in place of `${NAME}`, and those keys."""
    if not isinstance(told, dict) or not all(isinstance(v, str) for v in told.values()):
        raise InputError(f"{who}: headers are texts")
    out, secrets = {}, []
    for name, text in told.items():
        variables = VARIABLE.findall(text)
        if KEYED.search(name) and not variables:
            raise InputError(
                f"{who}: put the key of {name!r} into the environment, and write ${{ITS_NAME}} here"
            )
        for variable in variables:
            if not os.environ.get(variable, "").strip():
                raise InputError(
                    f"{who}: set the environment variable {variable}, which header {name!r} needs"
                )
            if in_the_clear(url):
                raise InputError(
                    f"{who}: the key of {variable} would go to another machine unencrypted; use https"
                )
            secret = Secret(os.environ[variable].strip())
            secrets.append(secret)
            text = secret.filled_in(text, f"${{{variable}}}")
        if not re.fullmatch(r"[\w-]+", name) or not re.fullmatch(r"[ -~]*", text):
            raise InputError(f"{who}: header {name!r} cannot be sent")
        out[name] = text
    return out, tuple(secrets)
