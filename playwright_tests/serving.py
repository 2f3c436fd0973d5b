"""Servers on their own ports, in threads."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from gemtab import resources
from gemtab.server.app import create_app
from gemtab.server.serve import Server, address, bind


@contextmanager
def serving(bundles: Mapping[str, Path]) -> Iterator[str]:
    """Yield the address, with a final slash, of the development server: the built site with these bundles."""
    with running(create_app(resources.site(), dict(bundles))) as site:
        yield site


@contextmanager
def running(app: ASGIApp) -> Iterator[str]:
    """Yield the address of an app's server, with a final slash."""
    listener = bind("127.0.0.1", 0)
    ready = threading.Event()
    config = uvicorn.Config(app, ws="websockets-sansio", lifespan="auto", log_level="warning")
    server = Server(config, ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        if not ready.wait(10):
            raise RuntimeError("the server did not start within 10 seconds")
        yield address(listener)
    finally:
        server.should_exit = True
        thread.join()
