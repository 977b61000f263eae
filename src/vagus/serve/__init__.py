"""Tables, health and metrics over HTTP, while an application runs. Needs the extra `serve`."""

from __future__ import annotations

from vagus.serve.server import Server

__all__ = ["Server"]
