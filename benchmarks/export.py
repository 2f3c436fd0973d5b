"""Time and memory of an export, compared with plain copies of the same bytes.

    python -m benchmarks.export CHECKPOINT [--weights q4] [--workplace FOLDER]

Prints a table: bytes in and out, bits per weight, the peak of anonymous memory, CPU time, wall time, and the wall time
of plain copies that read the input and write the output, right after the export on the same disk. Before each, the
input is dropped from the system's cache. `gemtab synth` makes checkpoints to measure. Linux only: memory is read from
/proc.
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
    """seconds: of the export, of its CPUs together, and of the plain copies. anonymous: peak in bytes."""

    seconds: float
    processor_seconds: float
    copy_seconds: float
    anonymous: int


def measure(checkpoint: Path, bundle: Path, weights: str) -> Measured:
    """Export the checkpoint to `bundle`, which stays, and do the plain copies."""
    drop_from_cache(checkpoint)
    started, before = time.monotonic(), processor_seconds()
    peak = export(checkpoint, bundle, "--weights", weights)
    seconds, used = time.monotonic() - started, processor_seconds() - before
    drop_from_cache(checkpoint)
    return Measured(seconds, used, copy(checkpoint, bundle), peak)


def export(checkpoint: Path, bundle: Path, *options: str) -> int:
    """Export the checkpoint in a child process. Return the peak of the child's anonymous memory in bytes."""
    program = "from gemtab.cli import main; main()"
    command = [sys.executable, "-c", program, "export", str(checkpoint), str(bundle), "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process, peak_of(process.pid) as peak:
        code = process.wait()
    if code:
        sys.exit(f"The export ended with {code}.")
    return peak[0]


def processor_seconds() -> float:
    """Return the CPU seconds of all finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def copy(checkpoint: Path, bundle: Path) -> float:
    """Return the seconds for reading the checkpoint and writing a file of the size of each of the bundle's files.

    Files are synced to the disk and removed at once, so that the disk need not hold two bundles.
    """
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
    """Read a file and discard the content."""
    buffer = bytearray(_BUFFER_BYTES)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def files(folder: Path) -> list[Path]:
    """Return all files under a folder, or the given file."""
    if folder.is_file():
        return [folder]
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def drop_from_cache(folder: Path) -> None:
    """Drop the folder's files from the system's cache."""
    for path in files(folder):
        with path.open("rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def peak_of(process: int) -> Iterator[list[int]]:
    """Record the peak of a process's anonymous memory, in bytes, inside the block."""
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
    """Return RssAnon of a process in bytes; 0 if the process has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
    return 1024 * int(found[0]) if found else 0


def print_table(checkpoint: Path, bundle: Path, weights: str, measured: Measured) -> None:
    """Return the table of figures."""
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
