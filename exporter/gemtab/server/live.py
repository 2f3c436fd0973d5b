"""The live channel: messages to every open tab, over WebSockets."""

from typing import Literal, TypedDict

from starlette.websockets import WebSocket, WebSocketDisconnect


class Reload(TypedDict):
    """The site or a bundle has changed: load the page anew."""

    type: Literal["reload"]


class ShaderChange(TypedDict):
    """A shader of a bundle has changed. bundle: its name; file: within the bundle, e.g. `shaders/rms_norm.wgsl`."""

    type: Literal["shader"]
    bundle: str
    file: str
    text: str


LiveMessage = Reload | ShaderChange


class LiveChannel:
    """The open tabs."""

    def __init__(self) -> None:
        self._tabs: set[WebSocket] = set()

    async def connect(self, tab: WebSocket) -> None:
        """Holds one tab's connection until it goes; what the tab says is ignored."""
        await tab.accept()
        self._tabs.add(tab)
        try:
            while True:
                await tab.receive_text()
        except WebSocketDisconnect:
            pass
        finally:
            self._tabs.discard(tab)

    async def send(self, message: LiveMessage) -> None:
        """Sends `message` to every tab; one that has just gone is not an error."""
        for tab in tuple(self._tabs):
            try:
                await tab.send_json(message)
            except (RuntimeError, WebSocketDisconnect):
                self._tabs.discard(tab)
