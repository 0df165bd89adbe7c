"""Task, model and agent as they travel to another process: by name, or as they are."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldloop.core import Agent, InputError, ModelCard, Task, WorldModel
from worldloop.engine.executors.base import Work
from worldloop.engine.services import model_key
from worldloop.engine.settings import RunSettings


@dataclass(frozen=True)
class Place:
    """Where the process of the run stands, so that names and files mean the same elsewhere."""

    folder: str
    paths: tuple[str, ...]
    threads: int | None
    """Of torch, where the process of the run has loaded it."""

    @classmethod
    def here(cls) -> Place:
        """The place of this process."""
        torch = sys.modules.get("torch")
        return cls(str(Path.cwd()), tuple(sys.path), torch.get_num_threads() if torch else None)

    def enter(self) -> None:
        """Stand there too, as far as this machine has it."""
        if Path(self.folder).is_dir():
            os.chdir(self.folder)
        sys.path.extend(p for p in self.paths if p not in sys.path and Path(p or ".").exists())

    def settle(self) -> None:
        """To be called when everything is built: torch, if it was loaded, gets as many threads as there."""
        if self.threads is not None and "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(self.threads)


@dataclass(frozen=True, eq=False)
class Parts:
    """What a process needs to take part in a run. `task`, `model` and `agent` are None when it builds them by name, or needs none."""

    settings: RunSettings
    card: ModelCard
    folder: str
    """Of the run, for messages and names; nothing is written there by another process."""
    spec: Mapping[str, Any]
    task: Task | None = None
    model: WorldModel | None = None
    agent: Agent | None = None

    @classmethod
    def of(cls, work: Work) -> Parts:
        """A run's parts by name."""
        return cls(work.settings, work.model.card, str(work.folder), dict(work.spec))

    def build_task(self) -> Task:
        """The task; InputError when its name means nothing here."""
        from worldloop.tasks import TASKS

        return TASKS.create(self.settings.task) if self.task is None else self.task

    def build_agent(self, task: Task) -> Agent:
        """The agent; InputError when its name means nothing here."""
        from worldloop.agents import AGENTS

        if self.agent is not None:
            return self.agent
        return AGENTS.create(self.settings.agent or task.default_agent, task=task.name)

    def build_model(self) -> WorldModel:
        """The model; InputError when its name means nothing here, or another model."""
        from worldloop.models import MODELS

        model = MODELS.create(self.settings.model) if self.model is None else self.model
        if model_key(model.card) != model_key(self.card):
            raise InputError(
                f"model {self.card.name!r} is another one on {os.uname().nodename}: its weights, settings or history differ "
                "from those of the machine that runs the command; put the same files everywhere"
            )
        return model


def identity(task: Task, agent: Agent) -> str:
    """What must be the same in each process."""
    parts = (task.name, task.version, agent.name, agent.settings, agent.privileges)
    return json.dumps(parts, sort_keys=True, default=str)


def sent(parts: Parts) -> Any:
    """The parts in Ray's object store; InputError when something in them cannot be sent to another process."""
    import ray

    try:
        return ray.put(parts)
    except Exception as error:
        raise InputError(
            f"task, model or agent cannot be sent to another process ({type(error).__name__}: {str(error)[:300]}); name them "
            "in RunSettings and give RayConfig(specs=True), or use the local executor"
        ) from error
