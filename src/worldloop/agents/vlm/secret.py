"""The key of a chat server."""

from __future__ import annotations

from dataclasses import asdict

from worldloop.agents.vlm.config import VlmConfig
from worldloop.core.secret import Secret


def key_of(config: VlmConfig) -> Secret:
    """The key of the environment variable that the config names, if it is set.

    InputError when it would go out unencrypted to another machine, or stands in one of the options.
    """
    return Secret.named(config.key_env, config.base_url, asdict(config).values(), "agent vlm")
