"""Restrict access to the server, and set security headers on its pages."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9A-Fa-f:]+\](:\d{1,5})?")
LIVE_PATH = "/_gemtab/live"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def content_security_policy(host: str) -> str:
    """Return the policy of a page served at `host` ("name:port"): only the server's own files and live channel."""
    return (
        "default-src 'self'; script-src 'self'; style-src 'self'; worker-src 'self'; "
        f"connect-src 'self' ws://{host}; img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """Wraps an app: rejects foreign hosts and origins, and sets security headers on every answer.

    A page elsewhere can point its own name at 127.0.0.1 and read anything from there (DNS rebinding). The Host header
    must therefore be one of the server's own names. An `exposed` server, which its owner bound to another address, also
    accepts plain IP addresses, which no such page can have.
    """

    def __init__(self, app: ASGIApp, names: tuple[str, ...] = LOOPBACK_NAMES, exposed: bool = False) -> None:
        self._app = app
        self._names = names
        self._exposed = exposed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_own(host):
            await _reject(scope, receive, send, 421, "This server does not accept that host name.")
        elif scope["type"] == "websocket" and headers.get("origin") != f"http://{host}":
            await _reject(scope, receive, send, 403, "The live channel is for pages of this server only.")
        else:
            await self._app(scope, receive, _with_headers(send, host))

    def _is_own(self, host: str) -> bool:
        if not HOST.fullmatch(host):
            return False
        name = urlsplit(f"//{host}").hostname or ""
        return name in self._names or (self._exposed and _is_address(name))


def _with_headers(send: Send, host: str) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = content_security_policy(host)
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            # Informs the page that a live channel exists, without a request that could fail elsewhere.
            headers["Server-Timing"] = f'gemtab-live;desc="{LIVE_PATH}"'
            # Together they isolate the page, which enables threads for wasm and fine timers.
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
            headers["Cross-Origin-Embedder-Policy"] = "require-corp"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
        await send(message)

    return wrapped


async def _reject(scope: Scope, receive: Receive, send: Send, status: int, reason: str) -> None:
    answer = WebSocketClose(1008) if scope["type"] == "websocket" else PlainTextResponse(reason + "\n", status)
    await answer(scope, receive, send)
