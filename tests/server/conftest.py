"""A site, a bundle and the real server on a real socket."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from uvicorn import Config

from gemtab.bundle.digest import digest_file
from gemtab.bundle.folder import write_manifest
from gemtab.bundle.manifest import Manifest, PlanEntry, PlanMemory, Source
from gemtab.server.app import create_app
from gemtab.server.serve import Server, address, bind
from gemtab.server.watch import Rerender

WEIGHTS = bytes(range(256)) * 1024
"""256 KiB in which every byte shows its position."""


@dataclass
class Served:
    """A running server and the folders it serves."""

    url: str
    site: Path
    bundle: Path
    templates: Path

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://").rstrip("/")


def write_bundle(folder: Path, context: int = 512) -> None:
    """A bundle in all but sense: the server knows nothing of plans and weights."""
    for name, content in {
        "plan/f32.json": b"{}",
        "shaders/norm.wgsl": b"// norm, as exported\n",
        "onnx/decoder_model_merged_q4.onnx_data": WEIGHTS,
        "chat_template.jinja": b"{{ bos_token }}",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    files = {str(p.relative_to(folder)): digest_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    files.pop("gemtab.json", None)
    memory = PlanMemory(weights=1, embeddings=0, rows=0, state=1, scratch=1)
    manifest = Manifest(
        gemtab="0",
        source=Source(name="made-up", model_type="gemma4"),
        weights="q4",
        context=context,
        inputs=("text",),
        plans=(PlanEntry(file="plan/f32.json", activation="f32", tokens=1, memory=memory),),
        files=files,
    )
    write_manifest(folder, manifest)


def run_in_thread(server: Server, listener: socket.socket, ready: threading.Event) -> threading.Thread:
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    assert ready.wait(10), "the server did not start"
    return thread


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts servers, and stops them after the test."""
    stops: list[Callable[[], None]] = []

    def starting(rerender: Rerender | None = None, exposed: bool = False) -> Served:
        site, bundle, templates = tmp_path / "site", tmp_path / "tiny", tmp_path / "shaders"
        for folder in (site / "assets", templates / "norm"):
            folder.mkdir(parents=True)
        (site / "index.html").write_text("<!doctype html><title>gemtab</title>")
        (site / "assets" / "worker.js").write_text("export {}")
        (site / "assets" / "cpu.wasm").write_bytes(b"\0asm")
        (templates / "norm" / "norm.wgsl.jinja").write_text("// template\n")
        (tmp_path / "secret.txt").write_text("secret")
        (site / ".hidden").write_text("secret")
        os.symlink(tmp_path / "secret.txt", site / "link.txt")
        write_bundle(bundle)
        listener, ready = bind("127.0.0.1", 0), threading.Event()
        app = create_app(site, {"tiny": bundle}, templates, rerender, exposed=exposed)
        config = Config(app, ws="websockets-sansio", log_level="warning", timeout_graceful_shutdown=1)
        server = Server(config, ready.set)
        thread = run_in_thread(server, listener, ready)

        def stop() -> None:
            server.should_exit = True
            thread.join(10)
            listener.close()

        stops.append(stop)
        return Served(address(listener), site, bundle, templates)

    yield starting
    for stop in stops:
        stop()


@pytest.fixture
def served(start_server: Callable[..., Served]) -> Served:
    return start_server()
