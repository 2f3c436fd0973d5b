"""Run the server on a socket."""

import errno
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from gemtab.errors import UsageError
from gemtab.server.guard import LOOPBACK_NAMES

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765

LONGEST_MESSAGE = 1 << 16
"""Maximum bytes of a tab's message, which is ignored."""


def is_loopback(host: str) -> bool:
    """Whether a server on `host` can be reached only from this machine."""
    return host in LOOPBACK_NAMES or host.startswith("127.")


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 chooses a free port. Raises UsageError where the address is not available."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        reason = "it is in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise UsageError(
            f"The server cannot listen on {host}, port {port}: {reason}. Choose another port with --port (0 for a free "
            "one)."
        ) from error
    return listener


def address(listener: socket.socket) -> str:
    """Return the page's address, e.g. `http://127.0.0.1:8765/`."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def serve(app: ASGIApp, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve on `listener` until Ctrl-C. on_ready: called when the server answers."""
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=LONGEST_MESSAGE,
        lifespan="on",
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises it again after shutdown
        Server(config, on_ready).run(sockets=[listener])


class Server(uvicorn.Server):
    """A uvicorn server that calls `on_ready` when it answers."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()
