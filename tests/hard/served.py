"""A visitor of `gemtab serve`: fetches what a tab would, and what it should not get, and changes a shader."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

READY = re.compile(r"at (http://[^\s/]+)/")
FILES = (
    "gemtab.json",
    "plan/f32.json",
    "tokenizer.json",
    "chat_template.jinja",
    "shaders/advance.wgsl",
    "plan/tables.bin",
)
FORBIDDEN = ("../secret.bin", "%2e%2e/secret.bin", "/etc/passwd", ".hidden", "plan/", "nul%00")


class Visit:
    """Runs in a process of its own, so that the one that waits for the server stays free."""

    def __init__(self, folder: str, said: Path, server: int) -> None:
        command = [sys.executable, "-S", __file__, folder, str(said), str(server)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def end(self) -> str:
        """Return the error; empty for none."""
        try:
            output, _ = self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            output, _ = self._process.communicate()
            return "the visitor got no answer"
        return output.decode("utf-8", "replace")


def _address(said: Path, server: int) -> str | None:
    for _ in range(500):
        text = said.read_text(errors="replace") if said.exists() else ""
        found = READY.search(" ".join(text.split()))
        if found:
            return found[1].removeprefix("http://")
        if (
            not Path(f"/proc/{server}").exists()
            or "Z" in Path(f"/proc/{server}/stat").read_text().rpartition(")")[2][:3]
        ):
            return None
        time.sleep(0.02)
    return None


def _get(host: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, timeout=5)
    try:
        connection.request("GET", path, headers={"Range": "bytes=0-1048575"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def visit(folder: Path, said: Path, server: int) -> None:
    """Prints what went wrong; nothing where all is well."""
    host = _address(said, server)
    if host is None:
        return
    try:
        status, content = _get(host, "/bundles/index.json")
        if status != 200 and status != 206:
            print("index", status)  # noqa: T201
        name = json.loads(content)[0]
        for file in (*FILES, *FORBIDDEN):
            status, content = _get(host, f"/bundles/{name}/{file}")
            if status >= 500:
                print(file, status)  # noqa: T201
            if b"root:x:0:0" in content:
                print(file, "left the folder")  # noqa: T201
        _change(folder / "shaders" / "advance.wgsl")
        time.sleep(0.6)
    except Exception as error:
        print(type(error).__name__, error)  # noqa: T201
    finally:
        os.kill(server, signal.SIGINT)


def _change(shader: Path) -> None:
    """As an editor does: a new file in the old one's place."""
    if shader.is_file() and not shader.is_symlink():
        content = shader.read_bytes()
        made = shader.with_name("changed")
        made.write_bytes(content + b"\n// changed\n")
        made.replace(shader)


if __name__ == "__main__":
    visit(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
