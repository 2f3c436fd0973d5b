"""The weights' data files: locations, bounded sizes, and bounded memory while they are written."""

import hashlib
from pathlib import Path
from typing import get_args

import pytest
import torch

from gemtab.bundle.digest import digest_file
from gemtab.bundle.location import Location
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import MAX_DATA_FILES
from gemtab.errors import OutputError
from gemtab.graph import Weight
from gemtab.quantize import packed_rows, planes
from gemtab.weight_files.journal import Journal
from gemtab.weight_files.layout import ALIGNMENT, FILE_BYTES, lay_out
from gemtab.weight_files.shards import CHUNK_BYTES, write_weights

FORMATS = get_args(WeightFormat)

WEIGHTS = [
    Weight("norm", (40,), "vector", ("norm",)),
    # 130 rows of 70 columns: three blocks of 32, the last one part empty.
    Weight("projection", (130, 70), "matrix", ("projection",)),
    Weight("table", (1001, 96), "table", ("table",)),
    Weight("experts", (5, 24, 64), "experts", ("experts",)),
]


class RandomWeights:
    """Weights drawn by their names; keeps the largest number of elements that was read at once, and what was read."""

    def __init__(self) -> None:
        self.largest = 0
        self.asked: list[tuple[str, int]] = []

    def read(self, weight: Weight) -> torch.Tensor:
        return self.read_rows(weight, 0, weight.shape[0])

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(len(weight.name))
        rows = torch.randn(weight.shape, generator=generator)[start:stop]
        self.largest = max(self.largest, rows.numel())
        self.asked.append((weight.name, start))
        return rows


def write(
    out: Path, weight_format: WeightFormat, file_bytes: int = FILE_BYTES, chunk_bytes: int = CHUNK_BYTES
) -> dict[tuple[str, str], Location]:
    layout = lay_out("decoder", WEIGHTS, weight_format, file_bytes)
    write_weights(out, [layout], RandomWeights(), weight_format, lambda _: None, chunk_bytes=chunk_bytes)
    return layout.locations


def data_files(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


@pytest.mark.parametrize("weight_format", FORMATS)
def test_each_plane_is_aligned_at_its_location(weight_format: WeightFormat, tmp_path: Path) -> None:
    locations = write(tmp_path, weight_format, file_bytes=60_000, chunk_bytes=5_000)
    expected = [(weight, plane) for weight in WEIGHTS for plane in planes(weight, weight_format)]
    assert list(locations) == [(weight.name, plane.name) for weight, plane in expected]
    for weight, plane in expected:
        at = locations[weight.name, plane.name]
        packed = packed_rows(RandomWeights(), weight, weight_format, 0, weight.shape[0])[plane.name]
        content = (tmp_path / at.file).read_bytes()
        assert at.offset % ALIGNMENT == 0 and at.bytes == plane.bytes
        assert content[at.offset : at.offset + at.bytes] == packed.tobytes()
        # A reader that rounds up to whole words stays inside the file.
        assert len(content) % ALIGNMENT == 0


def test_files_stay_below_the_limit_and_a_larger_plane_has_one_to_itself(tmp_path: Path) -> None:
    locations = write(tmp_path, "f32", file_bytes=60_000)
    assert data_files(tmp_path) == [f"onnx/decoder.onnx_data{end}" for end in ("", "_1", "_2")]
    # 130 x 70 x 4 bytes fit after the norm; 1001 x 96 x 4 fit nowhere; 5 x 24 x 64 x 4 come after it.
    assert [locations[weight.name, "values"].file[-7:] for weight in WEIGHTS] == [
        "nx_data",
        "nx_data",
        "_data_1",
        "_data_2",
    ]
    assert (tmp_path / "onnx/decoder.onnx_data_1").stat().st_size == 1001 * 96 * 4 + -(1001 * 96 * 4) % ALIGNMENT


def test_a_plane_is_never_read_whole(tmp_path: Path) -> None:
    reader = RandomWeights()
    chunk = 4_000
    write_weights(tmp_path, [lay_out("decoder", WEIGHTS[:3], "q4")], reader, "q4", lambda _: None, chunk_bytes=chunk)
    assert 0 < reader.largest <= chunk // 4


def test_progress_counts_every_byte_of_every_plane(tmp_path: Path) -> None:
    reported: list[int] = []
    layout = lay_out("decoder", WEIGHTS, "q4")
    write_weights(tmp_path, [layout], RandomWeights(), "q4", reported.append, chunk_bytes=10_000)
    assert sum(reported) == sum(plane.bytes for weight in WEIGHTS for plane in planes(weight, "q4"))
    assert len(reported) > 2 * len(WEIGHTS)


def test_files_are_named_by_their_format(tmp_path: Path) -> None:
    for weight_format in FORMATS:
        write(tmp_path, weight_format)
    names = ("decoder", "decoder_fp16", "decoder_q4", "decoder_quantized")
    assert data_files(tmp_path) == sorted(f"onnx/{name}.onnx_data" for name in names)


def test_slices_of_64_kib_have_their_own_digests(tmp_path: Path) -> None:
    slice_bytes = 64 << 10
    write(tmp_path, "f32")
    path = tmp_path / "onnx/decoder.onnx_data"
    content = path.read_bytes()
    entry = digest_file(path, slice_bytes)
    starts = range(0, len(content), slice_bytes)
    assert entry.bytes == len(content) and len(entry.sha256) == len(starts) > 4
    assert list(entry.sha256) == [hashlib.sha256(content[at : at + slice_bytes]).hexdigest() for at in starts]


def test_more_files_than_browsers_take_are_rejected() -> None:
    weights = [Weight(f"norm.{n}", (64,), "vector", ("norm",)) for n in range(MAX_DATA_FILES + 1)]
    with pytest.raises(OutputError, match="more than 100 data files of 256 bytes"):
        lay_out("decoder", weights, "f32", file_bytes=256)
    lay_out("decoder", weights[1:], "f32", file_bytes=256)


def test_a_weight_of_two_graphs_is_read_once_and_is_in_both(tmp_path: Path) -> None:
    layouts = [lay_out("embed", WEIGHTS[2:3], "q4"), lay_out("decoder", WEIGHTS, "q4")]
    reader = RandomWeights()
    write_weights(tmp_path, layouts, reader, "q4", lambda _: None)
    assert [name for name, _ in reader.asked].count("table") == 1
    for name in ("codes", "scales"):
        locations = [layout.locations["table", name] for layout in layouts]
        first, second = ((tmp_path / at.file).read_bytes()[at.offset : at.offset + at.bytes] for at in locations)
        assert first == second


class Disk(RandomWeights):
    """Weights that can no longer be read after a while, as when a disk is full or a process is killed."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.left = pieces

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        self.left -= 1
        if self.left < 0:
            raise OSError("no more")
        return super().read_rows(weight, start, stop)


def resumed(out: Path, fingerprint: str = "same") -> RandomWeights:
    """Writes the weights in pieces of 10,000 bytes, going on from a journal."""
    reader, reported = RandomWeights(), list[int]()
    layout = lay_out("decoder", WEIGHTS, "q4")
    with Journal(out / "journal", fingerprint) as journal:
        write_weights(out, [layout], reader, "q4", reported.append, journal, chunk_bytes=10_000)
    assert sum(reported) == sum(plane.bytes for weight in WEIGHTS for plane in planes(weight, "q4"))
    return reader


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A folder in which writing stopped after 20 of 49 pieces."""
    out = tmp_path / "stopped"
    out.mkdir()
    layout = lay_out("decoder", WEIGHTS, "q4")
    with pytest.raises(OSError, match="no more"), Journal(out / "journal", "same") as journal:
        write_weights(out, [layout], Disk(20), "q4", lambda _: None, journal, chunk_bytes=10_000)
    return out


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    write(tmp_path / "whole", "q4")
    return (tmp_path / "whole/onnx/decoder_q4.onnx_data").read_bytes()


def test_what_was_written_is_not_read_again(stopped: Path, whole: bytes) -> None:
    recorded = len(Journal(stopped / "journal", "same").done)
    # The error comes out as soon as it is seen; what other threads have finished by then may go unrecorded.
    assert 0 < recorded <= 20
    reader = resumed(stopped)
    assert len(reader.asked) == 49 - recorded
    assert (stopped / "onnx/decoder_q4.onnx_data").read_bytes() == whole
    assert resumed(stopped).asked == []


def test_a_piece_that_was_altered_meanwhile_is_written_again(stopped: Path, whole: bytes) -> None:
    recorded = len(Journal(stopped / "journal", "same").done)
    path = stopped / "onnx/decoder_q4.onnx_data"
    with path.open("r+b") as file:
        file.write(b"\xff\xff")
    assert len(resumed(stopped).asked) == 49 - recorded + 1
    assert path.read_bytes() == whole


def test_data_that_is_gone_is_written_again(stopped: Path, whole: bytes) -> None:
    (stopped / "onnx/decoder_q4.onnx_data").unlink()
    assert len(resumed(stopped).asked) == 49
    assert (stopped / "onnx/decoder_q4.onnx_data").read_bytes() == whole


def test_another_export_begins_anew(stopped: Path) -> None:
    assert len(resumed(stopped, "other").asked) == 49


@pytest.mark.parametrize("end", [b"40", b"40 17", b"40 123456789"])
def test_a_line_that_was_cut_short_is_none(stopped: Path, whole: bytes, end: bytes) -> None:
    journal = stopped / "journal"
    recorded = Journal(journal, "same").done
    journal.write_bytes(journal.read_bytes() + end)
    assert Journal(journal, "same").done == recorded
    assert len(resumed(stopped).asked) == 49 - len(recorded)
    assert (stopped / "onnx/decoder_q4.onnx_data").read_bytes() == whole
    assert len(Journal(journal, "same").done) == 49
