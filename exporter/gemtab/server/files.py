"""Serve the files of one folder over HTTP, with ranges, ETags and the content types of a bundle."""

import os
from mimetypes import guess_type
from pathlib import PurePath

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jinja": "text/plain; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".wgsl": "text/wgsl; charset=utf-8",
}
"""A fixed table, since the operating system's may differ: browsers reject modules that are not JavaScript, and stream
wasm only as application/wasm."""


def content_type(path: str | os.PathLike[str]) -> str:
    """Return the Content-Type of a file by its name; weights and unknown files are octet streams."""
    known = CONTENT_TYPES.get(PurePath(path).suffix)
    return known or guess_type(str(path))[0] or "application/octet-stream"


class LargeFile(FileResponse):
    """A file sent in chunks of a size for weights."""

    chunk_size = 1 << 20


class Folder(StaticFiles):
    """A folder's files. Files outside the folder, by `..` or through links, and hidden files are not served."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Return the file at `path` below the folder, or ("", None). Names that begin with a dot do not exist, nor do
        files that the system cannot resolve, such as circular links."""
        if any(part.startswith(".") for part in PurePath(path).parts):
            return "", None
        try:
            return super().lookup_path(path)
        except PermissionError:
            raise
        except OSError:
            return "", None

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Return the file, or 304 where the client's copy is current. `no-cache` means: ask each time, by ETag."""
        response = LargeFile(
            full_path,
            status_code=status_code,
            stat_result=stat_result,
            media_type=content_type(full_path),
            headers={"Cache-Control": "no-cache"},
        )
        if status_code == 200 and self.is_not_modified(response.headers, Headers(scope=scope)):
            return NotModifiedResponse(response.headers)
        return response
