"""A model hub of one machine: what huggingface_hub asks for when it downloads and uploads, over real HTTP.

Models are folders; a repository's files are what is uploaded to it. `private` models answer as if they were not there,
`gated` ones ask for their terms to be accepted.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

COMMIT = "1234567890abcdef1234567890abcdef12345678"
TOKEN = "hf_right"
CARD_KEYS = ("base_model", "base_model_relation", "license", "library_name", "tags")
"""Of what a card's head may say, what gemtab says."""


@dataclass
class Hub:
    """models: folders by id; gated: ids; breaks_at: a file that breaks off after so many bytes, once; lost: files
    that break off each time; asked: the ranges that were asked for, by file; repositories: what was uploaded, by id;
    private: which were made so."""

    models: dict[str, Path]
    gated: tuple[str, ...] = ()
    breaks_at: dict[str, int] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    stored: dict[str, bytes] = field(default_factory=dict)
    url: str = ""

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/models/{owner}/{name}/revision/{revision}", self.info),
                Route("/api/models/{owner}/{name}", self.info),
                Route("/api/models/{owner}/{name}/tree/{revision}", self.tree),
                Route("/{owner}/{name}/resolve/{revision}/{file:path}", self.file, methods=["GET", "HEAD"]),
                Route("/api/repos/create", self.create, methods=["POST"]),
                Route("/api/validate-yaml", self.validate, methods=["POST"]),
                Route("/api/models/{owner}/{name}/preupload/{revision}", self.preupload, methods=["POST"]),
                Route("/{owner}/{name}.git/info/lfs/objects/batch", self.batch, methods=["POST"]),
                Route("/lfs/{digest}", self.store, methods=["PUT"]),
                Route("/api/models/{owner}/{name}/commit/{revision}", self.commit, methods=["POST"]),
            ]
        )

    def refusal(self, request: Request) -> Response | None:
        model, revision = self.model(request), request.path_params.get("revision", "main")
        if model in self.gated:
            return refused(403, "GatedRepo", "Access to model is restricted.")
        if model not in self.models and model not in self.repositories:
            return refused(401, "RepoNotFound", "Repository not found")
        if revision not in ("main", "v1", COMMIT):
            return refused(404, "RevisionNotFound", "Invalid rev id")
        return None

    @staticmethod
    def model(request: Request) -> str:
        return f"{request.path_params['owner']}/{request.path_params['name']}"

    async def info(self, request: Request) -> Response:
        model = self.model(request)
        if refusal := self.refusal(request):
            return refusal
        files = sorted(path.name for path in self.models[model].iterdir()) if model in self.models else []
        siblings = [{"rfilename": name} for name in files]
        return JSONResponse({"id": model, "modelId": model, "sha": COMMIT, "siblings": siblings, "private": False})

    async def tree(self, request: Request) -> Response:
        if refusal := self.refusal(request):
            return refusal
        model = self.model(request)
        if model in self.models:
            sizes = {path.name: path.stat().st_size for path in sorted(self.models[model].iterdir())}
        else:
            sizes = {name: len(content) for name, content in self.repositories[model].items()}
        entries = [
            {"type": "file", "path": name, "size": size, "oid": hashlib.sha1(name.encode()).hexdigest()}
            for name, size in sizes.items()
        ]
        return JSONResponse(entries)

    async def file(self, request: Request) -> Response:
        if refusal := self.refusal(request):
            return refusal
        name = request.path_params["file"]
        path = self.models[self.model(request)] / name
        if not path.is_file():
            return refused(404, "EntryNotFound", "Entry not found")
        etag = hashlib.sha256(path.read_bytes()).hexdigest()
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'}
        if request.method == "GET":
            self.asked.append((name, request.headers.get("range")))
            if most := 1000 if name in self.lost else self.breaks_at.pop(name, None):
                whole = str(path.stat().st_size)
                return Response(path.read_bytes()[:most], headers={**headers, "Content-Length": whole})
        return FileResponse(path, headers=headers)

    async def create(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return refused(401, "", "Invalid username or password.")
        asked = await request.json()
        model = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        self.repositories.setdefault(model, {})
        if asked.get("private") or asked.get("visibility") == "private":
            self.private.add(model)
        return JSONResponse({"url": f"{self.url}/{model}", "name": model})

    async def validate(self, request: Request) -> Response:
        card = (await request.json())["content"]
        keys = [line.split(":")[0] for line in card.split("---\n")[1].splitlines()]
        unknown = [key for key in keys if key not in CARD_KEYS]
        errors = [{"message": f"unknown key {key}"} for key in unknown]
        return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)

    async def preupload(self, request: Request) -> Response:
        files = (await request.json())["files"]
        # The real hub too keeps small text in the repository and the rest beside it.
        answers = [
            {"path": file["path"], "uploadMode": "lfs" if file["size"] > 100_000 else "regular", "shouldIgnore": False}
            for file in files
        ]
        return JSONResponse({"files": answers, "commitOid": COMMIT})

    async def batch(self, request: Request) -> Response:
        objects = (await request.json())["objects"]
        answers = [
            {**each, "actions": {"upload": {"href": f"{self.url}/lfs/{each['oid']}"}}}
            for each in objects
            if each["oid"] not in self.stored
        ]
        return JSONResponse({"transfer": "basic", "objects": answers})

    async def store(self, request: Request) -> Response:
        content = await request.body()
        assert hashlib.sha256(content).hexdigest() == request.path_params["digest"]
        self.stored[request.path_params["digest"]] = content
        return Response()

    async def commit(self, request: Request) -> Response:
        files = self.repositories[self.model(request)]
        for line in (await request.body()).splitlines():
            self.apply(files, json.loads(line))
        url = f"{self.url}/{self.model(request)}/commit/{COMMIT}"
        return JSONResponse({"success": True, "commitOid": COMMIT, "commitUrl": url})

    def apply(self, files: dict[str, bytes], step: dict[str, Any]) -> None:
        value = step["value"]
        match step["key"]:
            case "file":
                files[value["path"]] = base64.b64decode(value["content"])
            case "lfsFile":
                files[value["path"]] = self.stored[value["oid"]]
            case "deletedFile":
                del files[value["path"]]


def refused(status: int, code: str, message: str) -> Response:
    headers = {"X-Error-Code": code, "X-Error-Message": message}
    return JSONResponse({"error": message}, status, {name: value for name, value in headers.items() if value})


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub at `hub.url` while inside."""
    server = uvicorn.Server(uvicorn.Config(hub.app(), port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        hub.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield hub
    finally:
        server.should_exit = True
        thread.join()
