"""Files of a trained policy: safetensors with its sizes and its card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from worldloop.agents.policy.network import DiffusionPolicy, PolicyConfig
from worldloop.core import InputError

FORMAT = "worldloop-policy-1"


def shipped_policy_path() -> Path:
    """The policy in the package."""
    return Path(str(resources.files("worldloop.agents") / "data" / "policy.safetensors"))


def save_policy(path: Path, policy: DiffusionPolicy, card: Mapping[str, Any]) -> str:
    """Write a policy in half precision; returns 16 hex digits that identify the file."""
    facts = {"format": FORMAT, "config": json.dumps(asdict(policy.config)), "card": json.dumps(dict(card))}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(save({k: v.half().contiguous() for k, v in policy.state_dict().items()}, facts))
    temporary.replace(path)
    return policy_hash(path)


def policy_hash(path: Path) -> str:
    """16 hex digits that identify a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def load_policy(path: str | Path | None = None) -> tuple[DiffusionPolicy, dict[str, Any]]:
    """A policy in evaluation mode, and its card; None is the packaged one.

    InputError for a file that is missing, damaged, something else or of other sizes than it says.
    """
    path = Path(path) if path else shipped_policy_path()
    if not path.is_file():
        raise InputError(f"no policy at {path}; train one with `worldloop train policy` and name its file")
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            state = {k: file.get_tensor(k).float() for k in file.keys()}  # noqa: SIM118
        if facts.get("format") != FORMAT:
            raise InputError(f"{path} is no policy of worldloop")
        policy = DiffusionPolicy(PolicyConfig(**json.loads(facts["config"])))
        policy.load_state_dict(state)
        return policy.eval(), json.loads(facts["card"])
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        raise InputError(f"{path} cannot be read as a policy: {str(error).splitlines()[0]}") from None
