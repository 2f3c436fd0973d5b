"""Messages to open tabs when files change."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from gemtab.bundle.folder import check_files, read_manifest
from gemtab.server import live
from tests.server.conftest import Served, write_bundle

SOON = 8.0
"""Seconds within which a change must have been reported; it takes about half a second."""

WATCHING = 0.5
"""Seconds that the watch takes to begin."""


@contextmanager
def tab(served: Served) -> Iterator[ClientConnection]:
    with connect(f"ws://{served.host}/_gemtab/live", origin=Origin(f"http://{served.host}")) as connection:
        time.sleep(WATCHING)
        yield connection


def next_message(connection: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(connection.recv(SOON))
    return message


def assert_silent(connection: ClientConnection, seconds: float = 1.5) -> None:
    with pytest.raises(TimeoutError):
        connection.recv(seconds)


def test_a_changed_site_reloads_every_tab(served: Served) -> None:
    with tab(served) as first, tab(served) as second:
        (served.site / "assets" / "worker.js").write_text("export default 1")
        assert next_message(first) == {"type": "reload"}
        assert next_message(second) == {"type": "reload"}


def test_an_edited_shader_is_sent_and_the_bundle_stays_whole(served: Served) -> None:
    with tab(served) as page:
        (served.bundle / "shaders" / "norm.wgsl").write_text("// edited\n")
        expected = {"type": "shader", "bundle": "tiny", "file": "shaders/norm.wgsl", "text": "// edited\n"}
        assert next_message(page) == expected
        assert_silent(page)
    check_files(served.bundle, read_manifest(served.bundle))


def test_a_new_export_reloads(served: Served) -> None:
    with tab(served) as page:
        write_bundle(served.bundle, context=1024)
        assert next_message(page) == {"type": "reload"}


def test_a_bundle_that_is_replaced_is_still_watched(served: Served, tmp_path: Path) -> None:
    with tab(served) as page:
        copytree(served.bundle, tmp_path / "fresh")
        write_bundle(tmp_path / "fresh", context=1024)
        served.bundle.rename(tmp_path / "old")
        (tmp_path / "fresh").rename(served.bundle)
        rmtree(tmp_path / "old")
        assert next_message(page) == {"type": "reload"}
        time.sleep(WATCHING)
        (served.bundle / "shaders" / "norm.wgsl").write_text("// edited after\n")
        assert next_message(page)["text"] == "// edited after\n"


def test_a_half_written_export_is_left_alone(served: Served) -> None:
    with tab(served) as page:
        (served.bundle / "gemtab.json").unlink()
        (served.bundle / "plan" / "f32.json").write_text('{"half": ')
        assert_silent(page)


def test_a_changed_template_is_rendered_into_the_bundle(start_server: Callable[..., Served]) -> None:
    templates: list[Path] = []

    def rerender(_: Path) -> dict[str, str]:
        text = (templates[0] / "norm" / "norm.wgsl.jinja").read_text()
        return {"shaders/norm.wgsl": text, "shaders/of-no-kernel.wgsl": text}

    served = start_server(rerender)
    templates.append(served.templates)
    with tab(served) as page:
        (served.templates / "norm" / "norm.wgsl.jinja").write_text("// new template\n")
        expected = {"type": "shader", "bundle": "tiny", "file": "shaders/norm.wgsl", "text": "// new template\n"}
        assert next_message(page) == expected
    assert not (served.bundle / "shaders" / "of-no-kernel.wgsl").exists()
    check_files(served.bundle, read_manifest(served.bundle))


def test_a_tab_that_has_gone_is_forgotten(served: Served) -> None:
    with tab(served):
        pass
    with tab(served) as page:
        (served.site / "index.html").write_text("<!doctype html><title>new</title>")
        assert next_message(page) == {"type": "reload"}


def test_a_shader_that_is_no_text_is_reported_once_and_watching_goes_on(
    served: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    shader, site = served.bundle / "shaders" / "norm.wgsl", served.site / "index.html"
    with tab(served) as page:
        for number in range(2):
            shader.write_bytes(b"// \xff\xfe\n")
            assert_silent(page, 1)
            site.write_text(f"<!doctype html><title>{number}</title>")
            assert next_message(page) == {"type": "reload"}
        shader.write_text("// text again\n")
        assert next_message(page)["text"] == "// text again\n"
    reported = capfd.readouterr().err
    assert reported.count("norm.wgsl cannot be read: 'utf-8' codec") == 1
    assert "Traceback" not in reported


DEEP = '{"format": ' + "[" * 200_000 + "]" * 200_000 + "}"


@pytest.mark.parametrize("content", [DEEP, "null", '"', "\x00"])
def test_a_manifest_that_is_none_is_reported_and_watching_goes_on(
    served: Served, content: str, capfd: pytest.CaptureFixture[str]
) -> None:
    manifest = served.bundle / "gemtab.json"
    whole = manifest.read_bytes()
    with tab(served) as page:
        manifest.write_text(content)
        assert_silent(page, 1)
        manifest.write_bytes(whole)
        time.sleep(WATCHING)
        (served.site / "index.html").write_text("<!doctype html><title>new</title>")
        assert next_message(page) == {"type": "reload"}
    reported = capfd.readouterr().err
    assert "Live channel: " in reported
    assert "gemtab.json" in reported
    assert "Traceback" not in reported


def test_whatever_rendering_raises_is_reported(
    start_server: Callable[..., Served], capfd: pytest.CaptureFixture[str]
) -> None:
    def rerender(_: Path) -> dict[str, str]:
        raise KeyError("of\x1b[2J nothing")

    served = start_server(rerender)
    with tab(served) as page:
        (served.templates / "norm" / "norm.wgsl.jinja").write_text("// new\n")
        assert_silent(page, 1)
        (served.site / "index.html").write_text("<!doctype html><title>new</title>")
        assert next_message(page) == {"type": "reload"}
    reported = capfd.readouterr().err
    assert "Live channel: " in reported
    assert "\x1b" not in reported


def test_what_tabs_say_is_ignored(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    with tab(served) as page:
        for said in (b"\0\xff" * 1000, "text", "[" * 60_000, b"", ""):
            page.send(said)
        (served.site / "index.html").write_text("<!doctype html><title>new</title>")
        assert next_message(page) == {"type": "reload"}
    assert capfd.readouterr().err == ""


def test_more_tabs_than_there_may_be_are_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_TABS", 2)
    with tab(served) as first, tab(served):
        with pytest.raises(InvalidStatus), tab(served):
            pass
        (served.site / "index.html").write_text("<!doctype html><title>new</title>")
        assert next_message(first) == {"type": "reload"}


def test_a_tab_that_does_not_read_is_dropped_and_holds_up_no_other(
    start_server: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live.LiveChannel.__init__, "__defaults__", (0.5,))
    served = start_server()
    name, port = served.host.split(":")
    asleep = socket.create_connection((name, int(port)))
    asleep.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
    origin = f"Origin: http://{served.host}\r\nHost: {served.host}\r\n"
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    asleep.sendall(f"GET /_gemtab/live HTTP/1.1\r\n{origin}{upgrade}{key}\r\n".encode())
    assert asleep.recv(12) == b"HTTP/1.1 101"
    with tab(served) as page:
        for number in range(12):
            text = f"// {number}" + "x" * 1_000_000
            (served.bundle / "shaders" / "norm.wgsl").write_text(text)
            assert next_message(page)["text"] == text
    asleep.close()
