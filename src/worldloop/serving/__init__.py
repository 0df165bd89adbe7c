"""World models behind HTTP; the protocol is described in docs/protocol.md, its client is `worldloop.models.remote`."""

from worldloop.serving.app import application
from worldloop.serving.config import ServeConfig
from worldloop.serving.run import serve

__all__ = ["ServeConfig", "application", "serve"]
