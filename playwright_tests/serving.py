"""The development server on a port of its own, in a thread."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from gemtab import resources
from gemtab.server.app import create_app
from gemtab.server.serve import Server, address, bind


@contextmanager
def serving(bundles: Mapping[str, Path]) -> Iterator[str]:
    """The address, ending with a slash, of the built site with these bundles."""
    listener = bind("127.0.0.1", 0)
    ready = threading.Event()
    config = uvicorn.Config(
        create_app(resources.site(), dict(bundles)), ws="websockets-sansio", lifespan="on", log_level="warning"
    )
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
