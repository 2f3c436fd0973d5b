"""The server's routes: the site at /, bundles at /bundles/NAME/, the live channel at LIVE_PATH."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp

from gemtab.server.files import Folder
from gemtab.server.guard import LIVE_PATH, LOOPBACK_NAMES, Guard
from gemtab.server.live import LiveChannel
from gemtab.server.watch import Rerender, Watch

EXAMPLE = "example.html"
EXAMPLE_BUNDLE = "bundles/tiny/"
"""The bundle in the example page as built."""


def create_app(
    site: Path,
    bundles: Mapping[str, Path],
    templates: Path | None = None,
    rerender: Rerender | None = None,
    names: tuple[str, ...] = LOOPBACK_NAMES,
    exposed: bool = False,
) -> ASGIApp:
    """Return the server as an ASGI app.

    site: folder of the built page. bundles: folder of each bundle by name. templates: folder of shader templates to
    watch. rerender: renders a bundle's shaders from the templates. names, exposed: see `Guard`.
    """
    live = LiveChannel()
    watch = Watch(site, bundles, templates, rerender, live.send)

    @asynccontextmanager
    async def watching(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(watch.run())
        yield
        watch.stop()
        await task

    async def example(_: Request) -> Response:
        """Return the example page with a bundle that is served."""
        file = site / EXAMPLE
        if not file.is_file():
            return Response(status_code=404)
        page = file.read_text(encoding="utf-8").replace(
            EXAMPLE_BUNDLE, f"bundles/{quote(next(iter(bundles)), safe='')}/"
        )
        return HTMLResponse(page, headers={"Cache-Control": "no-cache"})

    async def index(_: Request) -> JSONResponse:
        return JSONResponse(list(bundles), headers={"Cache-Control": "no-cache"})

    app = Starlette(
        routes=[
            WebSocketRoute(LIVE_PATH, live.connect),
            Route("/bundles/index.json", index),
            Route(f"/{EXAMPLE}", example),
            *(Mount(f"/bundles/{name}", Folder(directory=folder)) for name, folder in bundles.items()),
            Mount("/", Folder(directory=site, html=True)),
        ],
        lifespan=watching,
    )
    return Guard(app, names, exposed)
