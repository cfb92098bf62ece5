"""Share: a public link through Gradio's tunnel, or words on why there is none."""

from __future__ import annotations

import secrets

from gradio import networking

from app.schema.errors import EaselError


class NoTunnel(EaselError):
    """The public link could not be opened; the server itself runs on."""

    code = "no_tunnel"
    status = 503


def open_tunnel(port: int) -> str:
    """The public address of the server on this machine's port. Raises NoTunnel.

    Gradio fetches the tunnel's program at the first use and asks its own servers where to connect.
    """
    try:
        return networking.setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)
    except Exception as error:
        raise NoTunnel(
            f"No public link could be opened: {error}.",
            hint="The machine needs a way to the internet for it; the local address works without.",
        ) from error
