"""`gemtab serve` and `gemtab demo`: the real commands, asked over HTTP and stopped by Ctrl-C."""

import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from gemtab.bundle.folder import check_files, read_manifest
from tests.cli.conftest import Gemtab, ended, start_gemtab


@contextmanager
def running(*arguments: str | Path, **environment: str) -> Iterator[str]:
    """The address of a server that is stopped by Ctrl-C at the end, which is a good end."""
    process = start_gemtab(*arguments, "--port", "0", environment=environment)
    try:
        yield printed_address(process)
        process.send_signal(signal.SIGINT)
        result = ended(process)
        assert result.code == 0, result.err
        assert "Traceback" not in result.err
    finally:
        process.kill()


def printed_address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if found := re.search(r"http://\S+/", line):
            return found[0]
    raise AssertionError(f"no address was printed: {''.join(lines)}")


def test_serve_offers_site_and_bundles(exported: Path) -> None:
    with running("serve", exported.parent) as url:
        assert "<gemtab-chat" in httpx.get(url).text
        assert httpx.get(f"{url}bundles/index.json").json() == ["tiny"]
        assert httpx.get(f"{url}bundles/tiny/gemtab.json").json()["weights"] == "q4"


def test_the_demo_exports_once(tmp_path: Path) -> None:
    with running("demo", "--no-browser", XDG_CACHE_HOME=str(tmp_path)) as url:
        assert httpx.get(f"{url}bundles/index.json").json() == ["tiny"]
    (bundle,) = tmp_path.glob("gemtab/demo-*/tiny")
    check_files(bundle, read_manifest(bundle))
    made = (bundle / "gemtab.json").stat().st_mtime_ns

    started = time.monotonic()
    with running("demo", "--no-browser", XDG_CACHE_HOME=str(tmp_path)) as url:
        assert httpx.get(url).status_code == 200
        assert time.monotonic() - started < 20, "the second demo starts in seconds"
    assert (bundle / "gemtab.json").stat().st_mtime_ns == made


def test_a_folder_without_bundles(gemtab: Gemtab, tmp_path: Path) -> None:
    gemtab("serve", tmp_path).refused(2, "has no bundle", "gemtab export")
    gemtab("serve", tmp_path / "nowhere").refused(2, "nowhere")


def test_two_bundles_of_one_name(gemtab: Gemtab, exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "tiny")
    gemtab("serve", exported, tmp_path / "tiny").refused(2, "Two bundles are called tiny")


def test_a_port_that_is_taken(gemtab: Gemtab, exported: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        gemtab("serve", exported, "--port", str(port)).refused(2, str(port), "in use")
