"""Files of one folder over HTTP, with ranges, ETags and the content types of a bundle."""

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
"""Written out, since the operating system's own table may say otherwise; browsers refuse modules that are not
JavaScript and stream wasm only as application/wasm."""


def content_type(path: str | os.PathLike[str]) -> str:
    """The Content-Type of a file by its name; weights and all that is unknown are octet streams."""
    known = CONTENT_TYPES.get(PurePath(path).suffix)
    return known or guess_type(str(path))[0] or "application/octet-stream"


class LargeFile(FileResponse):
    """A file sent in pieces that suit weights."""

    chunk_size = 1 << 20


class Folder(StaticFiles):
    """A folder's files. Nothing outside it is reachable, by `..` or through links, and nothing hidden."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """The file at `path` below the folder, or ("", None): parts that begin with a dot do not exist, nor does what
        the system cannot find out about, such as a link to itself."""
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
        """The file, or 304 where the client's copy is current. `no-cache` means: ask each time, by ETag."""
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
