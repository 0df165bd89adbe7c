"""Servers of video generators that speak `/v1/videos`, such as vLLM-Omni and SGLang's, as world models."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from worldloop.core import InputError, ModelCard
from worldloop.core.network import check_url
from worldloop.core.secret import Secret
from worldloop.models.services.clip import NOTES, Clip, ClipModel
from worldloop.models.services.job import Job, Runner, Wish
from worldloop.models.services.reach import Caller, Film, Reach


class VideosModel(ClipModel):
    """A generator behind `POST /v1/videos` (a job that is looked at and fetched) or `POST /v1/videos/sync`."""

    def __init__(
        self,
        url: str,
        model: str,
        mode: str = "async",
        form: str = "multipart",
        size: str = "",
        frames_per_action: int = 4,
        fps: int = 8,
        inference_steps: int = 0,
        guidance: float = 0.0,
        prompt: str = "{motion}",
        style: str = "sentences",
        key_env: str = "OPENAI_API_KEY",
        timeout: float = 900.0,
        retries: int = 4,
        lanes: int = 4,
        hosts: str = "",
    ) -> None:
        """url: of the server, up to `/v1` or without it. model: as the server calls it.

        mode: `async` or `sync`. form: `multipart` uploads the present frame as a file, `json` sends it as a data URI; as
        `input_reference` both times. size, frames_per_action, fps, prompt and style: see `Clip`. inference_steps, guidance:
        0 leaves them to the server. key_env: the environment variable with the server's key, if it wants one. timeout: seconds
        for one plan. hosts: further ones that videos may be fetched from, with `|` between them. InputError for settings
        that make no sense.
        """
        check_url(url, "model videos: url")
        if not str(model) or mode not in ("async", "sync") or form not in ("multipart", "json"):
            raise InputError(
                "model videos: it needs model=NAME; mode is async or sync, form is multipart or json"
            )
        if inference_steps < 0 or guidance < 0:
            raise InputError(
                "model videos: inference_steps and guidance are positive, or 0 for the server's own"
            )
        clip = Clip(size, frames_per_action, fps, 0.0, prompt, style)
        reach = Reach(timeout, retries, lanes, tuple(h for h in hosts.lower().split("|") if h))
        generator: dict[str, Any] = {"num_inference_steps": inference_steps, "guidance_scale": guidance}
        chosen = {k: v for k, v in generator.items() if v}
        settings = {"model": str(model), "mode": mode, "form": form, **asdict(clip), **chosen}
        options = (url, *settings.values(), hosts)
        secret = Secret.named(key_env, url, options, "model videos")
        super().__init__(
            ModelCard(
                f"videos/{model}",
                f"{model} behind a /v1/videos server",
                "text",
                licence="unknown",
                settings=settings,
                notes=NOTES,
            ),
            clip,
            lanes,
        )
        base = url.rstrip("/").removesuffix("/v1") + "/v1/videos"
        body = {
            "prompt": "{prompt}",
            "model": str(model),
            "size": "{size}",
            "num_frames": "{frames}",
            "fps": "{fps}",
            "seed": "{seed}",
            "input_reference": "{image}",
            **chosen,
        }
        job = Job(
            create=base + "/sync" if mode == "sync" else base,
            look=base + "/{id}",
            body=body,
            failed=("failed", "cancelled", "deleted", "expired"),
            content=base + "/{id}/content",
            cancel=base + "/{id}",
            form=form,
        )
        self._at_once = mode == "sync"
        self._runner = Runner(job, Caller(url, secret.headers, (secret,), reach))

    def generate(self, wish: Wish) -> Film:
        """The clip that the server makes."""
        return self._runner.run_at_once(wish) if self._at_once else self._runner.run(wish)

    def close(self) -> None:
        """Close the connections."""
        self._runner.caller.close()
