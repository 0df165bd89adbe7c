"""`--agent vlm:base_url=...,model=...`: the language-model agent by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from worldloop.core import Agent, InputError, MissingExtraError
from worldloop.runs import find_runs, read_header

ANSWERS = ("active-recognition", "embodied-qa")
"""Tasks that ask for an answer. In the others a plan may stop, and there is no answerer."""


def need_extra(feature: str) -> None:
    """MissingExtraError unless the packages of the extra `vlm` are there."""
    if any(importlib.util.find_spec(name) is None for name in ("httpx2", "pydantic")):
        raise MissingExtraError(feature, "vlm")


def vlm(task: str, replay: str = "", **options: Any) -> Agent:
    """An agent that asks an OpenAI-compatible chat server; options are the fields of `VlmConfig`.

    `replay` names a run folder whose transcript stands in for the server: all other options are those of that
    run. InputError for an unknown option, MissingExtraError without the extra `vlm`.
    """
    need_extra("--agent vlm")
    from worldloop.agents.vlm import prompts
    from worldloop.agents.vlm.agent import VlmAgent
    from worldloop.agents.vlm.client import Client
    from worldloop.agents.vlm.config import VlmConfig
    from worldloop.agents.vlm.secret import key_of

    answers = task in ANSWERS
    used = prompts.identity(("propose", "revise", *(["answer"] if answers else [])))
    if replay:
        if options:
            raise InputError("replay takes its options from the run that is replayed; give none besides it")
        options = _recorded(str(replay), task, used)
    config = VlmConfig.of(options)
    if not replay:
        key_of(config)  # an unusable key is known before the first episode
        if not config.base_url or not config.model:
            raise InputError(
                "agent vlm needs a server: --agent vlm:base_url=http://HOST:PORT/v1,model=NAME, or replay=RUN_FOLDER"
            )
    client = Client(config, str(replay))
    asks = VlmAgent(client, stops=not answers)
    return Agent(
        "vlm",
        f"language model {config.model}",
        asks,
        asks,
        asks if answers else None,
        reads=("panorama",) if config.panorama else (),
        settings={"config": config.identity(), "prompts": used},
        resources=(client,),
    )


def _recorded(replay: str, task: str, prompts: Mapping[str, str]) -> dict[str, Any]:
    """The options of the run that is replayed; InputError when its prompts were others."""
    specs = [read_header(r).spec for r in find_runs(replay)]
    found = [s["agent_settings"] for s in specs if s.get("task") == task and s.get("agent") == "vlm"]
    if not found or any(f != found[0] for f in found):
        raise InputError(
            f"replay={replay}: {'no run of' if not found else 'differing runs of'} {task} with agent vlm there; "
            "name the folder of one run"
        )
    if found[0].get("prompts") != prompts:
        raise InputError(
            f"replay={replay}: its prompts differ from the present ones; use the worldloop that made it"
        )
    return dict(found[0]["config"])
