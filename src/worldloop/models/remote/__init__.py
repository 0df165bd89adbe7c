"""World models behind HTTP: the messages, and the client. The server is `worldloop.serving`; see docs/protocol.md."""
