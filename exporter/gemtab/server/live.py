"""The live channel: messages to every open tab, over WebSockets."""

import asyncio
from contextlib import suppress
from typing import Literal, TypedDict

from starlette.websockets import WebSocket, WebSocketDisconnect

MAX_TABS = 100
"""Maximum number of connected tabs; more are rejected."""

SECONDS_TO_TAKE = 5.0
"""Time limit for a tab to take a message. A slower tab is dropped, and reloads the page when it reconnects."""

TRY_AGAIN_LATER = 1013
"""WebSocket close code of rejected connections."""


class Reload(TypedDict):
    """The site or a bundle has changed: reload the page."""

    type: Literal["reload"]


class ShaderChange(TypedDict):
    """A shader of a bundle has changed. bundle: its name. file: path in the bundle, e.g. `shaders/rms_norm.wgsl`."""

    type: Literal["shader"]
    bundle: str
    file: str
    text: str


LiveMessage = Reload | ShaderChange


class LiveChannel:
    """The open tabs."""

    def __init__(self, seconds: float = SECONDS_TO_TAKE) -> None:
        self._seconds = seconds
        self._tabs: dict[WebSocket, asyncio.Event] = {}
        """The event that ends each tab's connection."""

    async def connect(self, tab: WebSocket) -> None:
        """Keep one tab's connection until the tab closes it or is dropped. Messages from the tab, text or bytes, are
        ignored."""
        if len(self._tabs) >= MAX_TABS:
            await tab.close(TRY_AGAIN_LATER)
            return
        await tab.accept()
        dropped = self._tabs[tab] = asyncio.Event()
        tasks = [asyncio.create_task(_until_it_goes(tab)), asyncio.create_task(dropped.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._tabs.pop(tab, None)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def send(self, message: LiveMessage) -> None:
        """Send `message` to all tabs in parallel. A tab that has just closed is not an error."""
        await asyncio.gather(*(self._send(tab, message) for tab in tuple(self._tabs)))

    async def _send(self, tab: WebSocket, message: LiveMessage) -> None:
        try:
            await asyncio.wait_for(tab.send_json(message), self._seconds)
        except (RuntimeError, OSError, WebSocketDisconnect):  # TimeoutError is an OSError
            if dropped := self._tabs.pop(tab, None):
                dropped.set()


async def _until_it_goes(tab: WebSocket) -> None:
    with suppress(RuntimeError, WebSocketDisconnect):
        while (await tab.receive())["type"] != "websocket.disconnect":
            pass
