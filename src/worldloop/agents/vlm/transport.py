"""One request to a chat server: bounded in time and size, tried again where that makes sense."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from worldloop.agents.vlm.config import VlmConfig
from worldloop.agents.vlm.pacing import Pace
from worldloop.agents.vlm.replies import BrokenError, completion_of
from worldloop.core import ServerError, derive_seed
from worldloop.core.network import retry_after
from worldloop.core.secret import Secret

log = logging.getLogger(__name__)


class PassingError(ServerError):
    """A failure that may be gone at the next attempt."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause
        """Seconds after which the server wants to be asked again."""


@dataclass(frozen=True)
class Attempt:
    """One request, as the transcript notes it."""

    number: int
    seconds: float
    body: Any = None
    """The server's JSON, without the key; None for a failed attempt."""
    error: str | None = None


class Transport:
    """Sends requests to `base_url`/chat/completions. The key is in one header, and nowhere else."""

    def __init__(self, config: VlmConfig, secret: Secret, client: httpx2.AsyncClient | None = None) -> None:
        # At the level of debugging, the library would log headers of the reply, which may echo the key.
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.config, self.secret = config, secret
        self._pace = Pace(config.lanes, config.rpm)
        # No proxies or .netrc from the environment: the key goes where the user said, and nowhere else.
        self._client = client or httpx2.AsyncClient(timeout=None, trust_env=False, follow_redirects=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ask(self, request: Mapping[str, Any], note: Callable[[Attempt], Awaitable[None]]) -> Any:
        """The JSON of a chat completion. Every attempt is noted as it ends.

        ServerError when the server refuses the request or when all attempts have failed.
        """
        try:
            data = json.dumps(request).encode()
        except ValueError as error:
            raise ServerError(f"the request cannot be written as JSON: {error}") from None
        attempts = 1 + self.config.retries
        for number in range(attempts):
            async with self._pace.turn():
                started = time.perf_counter()
                try:
                    body = await self._once(data)
                except ServerError as error:
                    problem = error
                else:
                    await note(Attempt(number, time.perf_counter() - started, body))
                    return body
                await note(Attempt(number, time.perf_counter() - started, error=str(problem)))
                if not isinstance(problem, PassingError):
                    raise problem
                pause = self._pause(problem, number, data)
                if problem.pause is not None:
                    self._pace.hold(pause)
            if number + 1 < attempts:
                log.warning("%s; attempt %d of %d in %.1f s", problem, number + 2, attempts, pause)
                await asyncio.sleep(pause)
        raise ServerError(f"gave up after {attempts} attempts: {problem}")

    def _pause(self, problem: PassingError, number: int, data: bytes) -> float:
        """Seconds: what the server asks for, else twice as long each time, spread so that lanes do not march in step."""
        if problem.pause is not None:
            return min(problem.pause, self.config.retry_after_cap)
        spread = derive_seed(data, number, "backoff") % 1000 / 1000
        return min(0.25 * 2**number * (1 + spread), self.config.retry_after_cap)

    async def _once(self, data: bytes) -> Any:
        config = self.config
        try:
            async with asyncio.timeout(config.timeout):
                return await self._exchange(data)
        except TimeoutError:
            raise PassingError(f"no complete reply within {config.timeout:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
            said = self.secret.redact(f"{type(error).__name__}: {error}")[:300]
            raise PassingError(f"the connection to the model server failed ({said})") from None

    async def _exchange(self, data: bytes) -> Any:
        # Compressed replies are not asked for: the limit of bytes must hold before anything is unpacked.
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **self.secret.headers,
        }
        url = self.config.base_url.rstrip("/") + "/chat/completions"
        async with self._client.stream("POST", url, content=data, headers=headers) as reply:
            if reply.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
                raise ServerError("the server compressed its reply although it was told not to")
            kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
            text = (await self._read(reply)).decode("utf-8", "replace")
            pause = retry_after(reply.headers.get("retry-after"))
            status = reply.status_code
        if status != 200:
            raise self._refusal(status, self.secret.redact(text), pause)
        if kind and kind != "application/json" and not kind.endswith("+json"):
            raise ServerError(
                f"the server answered with {kind[:60]}, not JSON: is base_url right (it ends with /v1, mostly)?"
            )
        try:
            body = self.secret.redact_json(json.loads(text))
            completion_of(body)
        except (ValueError, RecursionError):
            raise PassingError("the server's reply is no JSON, or cut off") from None
        except BrokenError as error:
            raise PassingError(str(error)) from None
        return body

    async def _read(self, reply: httpx2.Response) -> bytes:
        most, pieces, size = self.config.max_reply_bytes, [], 0
        async for piece in reply.aiter_raw():
            size += len(piece)
            if size > most:
                raise ServerError(f"the server's reply is longer than {most} bytes (max_reply_bytes)")
            pieces.append(piece)
        return b"".join(pieces)

    def _refusal(self, status: int, text: str, pause: float | None) -> ServerError:
        said = " ".join(text.split())[:400]
        message = f"the server answered with status {status}: {said or '(nothing)'}"
        if status in (408, 409, 425, 429) or status >= 500:
            return PassingError(message, pause)
        if status < 400:
            return ServerError(f"{message}; redirections are not followed: give the final base_url")
        env = self.config.key_env
        advice = {
            401: f"is the key in {env} right?"
            if env
            else "it wants a key: name its variable with key_env=NAME",
            403: f"may the key in {env or '(key_env)'} use this model?",
            404: "are base_url and model right?",
        }.get(status, "it may not know a field of the request: try structured=none or logprobs=false")
        return ServerError(f"{message}; {advice}")
