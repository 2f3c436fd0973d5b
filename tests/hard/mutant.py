"""A bundle in memory that is being spoilt, and its way to a folder."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from gemtab.bundle.manifest import MANIFEST_NAME
from gemtab.bundle.memory import plan_memory
from gemtab.bundle.plan import Plan

Json = Any
TEXT_PLANS = ("plan/f16.json", "plan/f32.json")
SLICE = 16 << 20
FAULTS = ".faults.json"


class Raw(str):
    """JSON text that stands in the file as it is, where a value would."""

    __slots__ = ()


def to_text(tree: Json) -> str:
    """JSON, in which what is Raw stands as it is; NaN, infinities and whole numbers of any length are written out."""
    raws: list[str] = []

    def marked(node: Json) -> Json:
        if isinstance(node, Raw):
            raws.append(str(node))
            return f"@raw:{len(raws) - 1}@"
        if isinstance(node, dict):
            return {key: marked(value) for key, value in node.items()}
        return [marked(value) for value in node] if isinstance(node, list) else node

    text = json.dumps(marked(tree))
    for number, raw in enumerate(raws):
        text = text.replace(f'"@raw:{number}@"', raw, 1)
    return text


@dataclass
class Mutant:
    """The files of a bundle's folder by name, read when they are asked for.

    faults: what is wrong besides the files, with the host that sends them and with the GPU; in the folder they stand in
    FAULTS, which no host sends.
    refused: every command that runs the model must reject it, since a file that is used is not what the manifest says.
    """

    seed: Path
    changed: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    pipes: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    faults: dict[str, Json] = field(default_factory=dict)
    refused: bool = False

    def names(self) -> list[str]:
        """All files of the seed, sorted."""
        return sorted(str(path.relative_to(self.seed)) for path in self.seed.rglob("*") if path.is_file())

    def read(self, name: str) -> bytes:
        return self.changed[name] if name in self.changed else (self.seed / name).read_bytes()

    def json(self, name: str) -> Json:
        return json.loads(self.read(name))

    @property
    def manifest(self) -> Json:
        return self.json(MANIFEST_NAME)

    def write_manifest(self, tree: Json) -> None:
        self.changed[MANIFEST_NAME] = to_text(tree).encode()

    @property
    def is_bundle(self) -> bool:
        """Or else a checkpoint, which has no manifest."""
        return (self.seed / MANIFEST_NAME).exists()

    def put(self, name: str, content: bytes, *, sign: bool = True) -> None:
        """Changes a file; sign: the manifest says then what the file is."""
        self.changed[name] = content
        if sign and self.is_bundle:
            manifest = self.manifest
            manifest["files"][name] = entry(content)
            self.write_manifest(manifest)

    def put_json(self, name: str, tree: Json) -> None:
        self.put(name, to_text(tree).encode("utf-8", "surrogatepass"))

    def each_plan(self, rng: Random, change: Callable[[Json, Random], None], *, sums: bool | None = None) -> None:
        """Makes the same change to both plans of the text model, since devices differ in which they take. sums: the
        manifest's sums of memory follow, where they can be computed; by default that is drawn."""
        state = rng.random()
        follow = rng.random() < 0.5 if sums is None else sums
        for name in TEXT_PLANS:
            plan = self.json(name)
            change(plan, Random(state))
            self.put_json(name, plan)
            if follow:
                self._restate(name)

    def _restate(self, name: str) -> None:
        try:
            memory = plan_memory(Plan.model_validate_json(self.read(name)))
            stated = json.loads(memory.model_dump_json())
        except Exception:  # what is no plan has no sum
            return
        manifest = self.manifest
        for one in manifest["plans"]:
            if one["file"] == name:
                one["memory"] = stated
        self.write_manifest(manifest)

    def write(self, folder: Path) -> Path:
        """Makes the folder; what is as in the seed is a hard link where that can be."""
        folder.mkdir(parents=True)
        for name in {*self.names(), *self.changed} - self.absent - self.links.keys() - self.folders - self.pipes:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name in self.changed:
                path.write_bytes(self.changed[name])
            else:
                _link(self.seed / name, path)
        for name, target in self.links.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(target)
        for name in self.folders:
            (folder / name).mkdir(parents=True)
        for name in self.pipes:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.mkfifo(folder / name)
        if self.faults:
            (folder / FAULTS).write_text(json.dumps(self.faults))
        return folder


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def entry(content: bytes, slice_bytes: int = SLICE) -> Json:
    """The manifest's record of a file."""
    starts = range(0, len(content), slice_bytes)
    digests = [hashlib.sha256(content[at : at + slice_bytes]).hexdigest() for at in starts]
    return {"bytes": len(content), "slice_bytes": slice_bytes, "sha256": digests}
