"""How fast and in how much memory a checkpoint is exported, against plain copies of the same bytes.

    python -m benchmarks.export CHECKPOINT [--weights q4] [--workplace FOLDER]

Prints a table: bytes in and out, bits a weight, the peak of anonymous memory, the time of all processors together, and
the time beside that of reading the input and writing the output by plain copies, right after it on the same disk.
Before each, the files that are read are dropped from the system's cache. `gemtab synth` makes checkpoints to measure.
Linux only: memory is what /proc tells of the exporting process.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from gemtab.cli.console import out, size
from gemtab.summary import summarise_bundle

_BUFFER_BYTES = 8 << 20
_SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Measured:
    """seconds: of the export, of all processors in it, and of the plain copies; anonymous: its peak in bytes."""

    seconds: float
    processor_seconds: float
    copy_seconds: float
    anonymous: int


def measure(checkpoint: Path, bundle: Path, weights: str) -> Measured:
    """Exports the checkpoint to `bundle`, which stays, and does the plain copies."""
    drop_from_cache(checkpoint)
    started, before = time.monotonic(), processor_seconds()
    peak = export(checkpoint, bundle, "--weights", weights)
    seconds, used = time.monotonic() - started, processor_seconds() - before
    drop_from_cache(checkpoint)
    return Measured(seconds, used, copy(checkpoint, bundle), peak)


def export(checkpoint: Path, bundle: Path, *options: str) -> int:
    """Exports the checkpoint in a process of its own; gives the peak of that one's anonymous memory, in bytes."""
    program = "from gemtab.cli import main; main()"
    command = [sys.executable, "-c", program, "export", str(checkpoint), str(bundle), "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process, peak_of(process.pid) as peak:
        code = process.wait()
    if code:
        sys.exit(f"The export ended with {code}.")
    return peak[0]


def processor_seconds() -> float:
    """What the processes that this one has waited for have used of all processors."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def copy(checkpoint: Path, bundle: Path) -> float:
    """Seconds for reading the checkpoint and writing another file of the size of each of the bundle's, to the disk and
    not only to the system's cache: so each can be removed at once, and the largest bundles need no room for two."""
    started = time.monotonic()
    for path in files(checkpoint):
        read(path)
    target = bundle.with_name("copy")
    for path in files(bundle):
        shutil.copyfile(path, target)
        with target.open("rb") as file:
            os.fdatasync(file.fileno())
        target.unlink()
    return time.monotonic() - started


def read(path: Path) -> None:
    """Reads a file and keeps nothing."""
    buffer = bytearray(_BUFFER_BYTES)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def files(folder: Path) -> list[Path]:
    """All files under a folder, or the one that is given."""
    if folder.is_file():
        return [folder]
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def drop_from_cache(folder: Path) -> None:
    """Has the next reader of the folder's files read them from the disk."""
    for path in files(folder):
        with path.open("rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def peak_of(process: int) -> Iterator[list[int]]:
    """The most anonymous memory that the process has while inside, in bytes."""
    peak, ended = [0], threading.Event()

    def sample() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            peak[0] = max(peak[0], anonymous_bytes(process))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def anonymous_bytes(process: int) -> int:
    """RssAnon of a process; 0 when it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
    return 1024 * int(found[0]) if found else 0


def print_table(checkpoint: Path, bundle: Path, weights: str, measured: Measured) -> None:
    """What was measured."""
    bytes_in = sum(path.stat().st_size for path in files(checkpoint))
    bytes_out = sum(path.stat().st_size for path in files(bundle))
    table = Table(title=f"{checkpoint.name} as {weights}", title_justify="left", box=None, padding=(0, 2, 0, 0))
    names = ("input", "output", "bits a weight", "peak anonymous", "processors", "export", "plain copies", "ratio")
    for name in names:
        table.add_column(name, justify="right")
    table.add_row(
        size(bytes_in),
        size(bytes_out),
        f"{summarise_bundle(bundle).bits_per_weight:.2f}",
        size(measured.anonymous),
        f"{measured.processor_seconds:.1f} s",
        f"{measured.seconds:.1f} s",
        f"{measured.copy_seconds:.1f} s",
        f"{measured.seconds / measured.copy_seconds:.2f}",
    )
    out.print(table)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--weights", default="q4")
    parser.add_argument("--workplace", type=Path, help="where the bundle is written; beside the checkpoint by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.workplace or options.checkpoint.parent) as folder:
        bundle = Path(folder) / "bundle"
        print_table(options.checkpoint, bundle, options.weights, measure(options.checkpoint, bundle, options.weights))


if __name__ == "__main__":
    main()
