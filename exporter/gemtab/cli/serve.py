"""`gemtab serve`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gemtab.cli.console import err
from gemtab.server.serve import DEFAULT_HOST, DEFAULT_PORT


def command(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[BUNDLE|FOLDER]…", help="Bundles, or folders of bundles. [default: this folder]"),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one.")] = DEFAULT_PORT,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Other machines need an address that they can reach.")
    ] = DEFAULT_HOST,
) -> None:
    """Serve the page and bundles, and reload open tabs when either changes.

    A changed shader, in a bundle or among gemtab's own templates, is replaced in the open tab.
    """
    from gemtab.server.bundles import find_bundles

    serve_bundles(find_bundles(folders or [Path()]), host, port, open_browser=False)


def serve_bundles(bundles: dict[str, Path], host: str, port: int, open_browser: bool) -> None:
    """Serve until Ctrl-C, and print the address."""
    import webbrowser

    from gemtab import resources
    from gemtab.server.app import create_app
    from gemtab.server.rerender import rerender
    from gemtab.server.serve import address, bind, is_loopback, serve

    site, templates = resources.site(), resources.shaders()
    listener = bind(host, port)
    url = address(listener)

    def ready() -> None:
        err.print(Text.assemble(f"Serving {', '.join(bundles)} at ", (url, "bold"), "  (Ctrl-C stops)"))
        if open_browser:
            webbrowser.open(url)

    names = ("localhost", "127.0.0.1", "::1", host)
    serve(create_app(site, bundles, templates, rerender, names, exposed=not is_loopback(host)), listener, ready)
