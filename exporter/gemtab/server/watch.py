"""Watch site, bundles and shader templates, and notify open tabs of changes."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from watchfiles import awatch

from gemtab.bundle.folder import SHADERS, accept_file, is_bundle, read_manifest
from gemtab.bundle.limits import SHADER_BYTES
from gemtab.bundle.manifest import FileEntry, Manifest
from gemtab.regular import read_regular
from gemtab.server.live import LiveMessage, ShaderChange
from gemtab.shown import shown_in_line

Rerender = Callable[[Path], Mapping[str, str]]
"""Bundle's folder -> WGSL file in it -> text from the current templates."""

QUIET_MS = 200
"""Milliseconds without further changes before a change is handled: builds and editors write in bursts."""

ROUND_MS = 1000
"""Interval of the check for replaced folders, which the kernel does not report."""


def report(words: str) -> None:
    """Print one line on stderr."""
    print(f"Live channel: {shown_in_line(words)}", file=sys.stderr)  # noqa: T201


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


class WatchedBundle:
    """A served bundle in its last known state."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._unread: dict[str, str] = {}
        self._shaders: dict[str, str] = {}
        self._shaders = self._read_shaders()
        self._rest = self._read_rest()

    def was_exported(self) -> bool:
        """Whether a new export has replaced the bundle: the manifest differs in more than its shaders."""
        before, self._rest = self._rest, self._read_rest()
        if self._rest == before or self._rest is None:
            return False
        self._shaders = self._read_shaders()
        return True

    def changed_shaders(self) -> list[ShaderChange]:
        """Return the shaders with new texts, and update their digests in the manifest."""
        before, self._shaders = self._shaders, self._read_shaders()
        changes: list[ShaderChange] = []
        for file, text in self._shaders.items():
            if file in before and before[file] != text:
                accept_file(self.folder, file)
                changes.append(ShaderChange(type="shader", bundle=self.name, file=file, text=text))
        return changes

    def write_shaders(self, texts: Mapping[str, str]) -> None:
        """Write newly rendered shaders over those of the bundle."""
        for file in self._shaders.keys() & texts.keys():
            if self._shaders[file] != texts[file]:
                (self.folder / file).write_text(texts[file], encoding="utf-8")

    def _read_shaders(self) -> dict[str, str]:
        """Read all shaders. For one that cannot be read, keep the last text and report the reason once."""
        paths = sorted((self.folder / SHADERS).glob("*.wgsl"))
        texts = {f"{SHADERS}/{path.name}": self._read_shader(path) for path in paths}
        return {file: text for file, text in texts.items() if text is not None}

    def _read_shader(self, path: Path) -> str | None:
        file = f"{SHADERS}/{path.name}"
        try:
            text = read_regular(path, SHADER_BYTES).decode("utf-8")
        except (OSError, ValueError) as error:
            reason = f"{path} cannot be read: {error}. Save it again."
            if self._unread.get(file) != reason:
                self._unread[file] = reason
                report(reason)
            return self._shaders.get(file)
        self._unread.pop(file, None)
        return text

    def _read_rest(self) -> tuple[Manifest, dict[str, FileEntry]] | None:
        if not is_bundle(self.folder):
            return None
        manifest = read_manifest(self.folder)
        files = {name: entry for name, entry in manifest.files.items() if not name.startswith(f"{SHADERS}/")}
        return manifest.model_copy(update={"files": {}}), files


class Watch:
    """Watches the folders and calls `send` with messages for open tabs."""

    def __init__(
        self,
        site: Path,
        bundles: Mapping[str, Path],
        templates: Path | None,
        rerender: Rerender | None,
        send: Callable[[LiveMessage], Awaitable[None]],
    ) -> None:
        self._site = site.resolve()
        self._bundles = [WatchedBundle(name, folder.resolve()) for name, folder in bundles.items()]
        self._templates = templates and templates.resolve()
        self._rerender = rerender
        self._send = send
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Make `run` return."""
        self._stop.set()

    async def run(self) -> None:
        """Watch until `stop`. Start again when a folder was replaced by another of its name, and when the system cannot
        watch."""
        reported = ""
        while not self._stop.is_set():
            try:
                await self._watch_until_replaced()
            except Exception as error:
                if reported != (reported := _words(error)):
                    report(f"files cannot be watched ({reported}). Trying again.")
                await asyncio.sleep(ROUND_MS / 1000)

    async def _watch_until_replaced(self) -> None:
        identities = self._identities()
        present = [path for path, identity in identities.items() if identity]
        changes = awatch(
            *present,
            watch_filter=None,
            step=QUIET_MS,
            rust_timeout=ROUND_MS,
            yield_on_timeout=True,
            stop_event=self._stop,
            ignore_permission_denied=True,
        )
        async for batch in changes:
            paths = [Path(path) for _, path in batch]
            try:
                await self._act(paths)
            except Exception as error:  # a broken file is handled again when its author saves it
                report(_words(error))
            if self._identities() != identities:
                return

    def _folders(self) -> list[Path]:
        folders = [self._site, *(bundle.folder for bundle in self._bundles)]
        return folders if self._templates is None else [*folders, self._templates]

    def _identities(self) -> dict[Path, tuple[int, int] | None]:
        return {folder: _identity(folder) for folder in self._folders()}

    async def _act(self, paths: list[Path]) -> None:
        if self._rerender and self._templates and _any_inside(paths, self._templates):
            for bundle in self._bundles:
                bundle.write_shaders(await asyncio.to_thread(self._rerender, bundle.folder))
        exported = [bundle.name for bundle in self._bundles if bundle.was_exported()]
        if exported or _any_inside(paths, self._site):
            await self._send({"type": "reload"})
            return
        for bundle in self._bundles:
            for change in bundle.changed_shaders():
                await self._send(change)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _any_inside(paths: list[Path], folder: Path) -> bool:
    return any(path.is_relative_to(folder) for path in paths)
