"""Videos are prepared as by transformers' Gemma 4 video processors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers.video_utils import VideoMetadata, default_sample_indices_fn

from gemtab.errors import MediaError, UsageError
from gemtab.media.images import image_inputs
from gemtab.media.rules import ImageRules, VideoRules
from gemtab.media.video import VideoInputs, load_video, sample, stamp
from tests.media import oracle
from tests.media.video_kinds import KINDS, by_ffmpeg, cut, edited, processed
from tests.media.videos import audio_alone, frame_pixels, in_unknown_codec, video_file, video_files

RULES = VideoRules(ImageRules(patch=16, pooling=3, max_soft_tokens=70, merged=False), frames=8)

UNLIKE_TRANSFORMERS = {"sideways.mp4", "short.mp4", "odd-width.webm", "vp9.webm", "vp8.webm"}
"""There, videos are not turned, ones with too few frames are rejected, and WebM has no number of frames."""


@pytest.fixture(scope="session")
def corpus() -> dict[str, bytes]:
    return video_files()


@pytest.fixture(scope="session")
def expected(corpus: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """By "NAME.PROCESSOR", NAME without its ending."""
    folder = tmp_path_factory.mktemp("videos")
    for name in corpus.keys() - UNLIKE_TRANSFORMERS:
        (folder / name).write_bytes(corpus[name])
    return oracle.processed(folder, budget=70, frames=RULES.frames)


def layout(inputs: VideoInputs) -> str:
    """The video's part of a prompt, with [ ] around the tokens of an image."""
    return " ".join(f"{at} [{'.' * frame.soft_tokens}]" for at, frame in zip(inputs.stamps, inputs.frames, strict=True))


@pytest.mark.parametrize("family", ["gemma4", "gemma4_unified"])
def test_frames_times_and_layout_are_those_of_transformers(
    family: str, corpus: dict[str, bytes], expected: dict[str, dict[str, Any]]
) -> None:
    rules = VideoRules(ImageRules(16, 3, 70, merged=family == "gemma4_unified"), RULES.frames)
    for name in sorted(corpus.keys() - UNLIKE_TRANSFORMERS):
        found, reference = load_video(corpus[name], rules), expected[f"{Path(name).stem}.{family}"]
        assert found.seconds == pytest.approx(reference["seconds"], abs=1e-6), name
        assert layout(found) == reference["layout"], name
        errors = np.abs(np.stack([frame.patches for frame in found.frames]) - reference["patches"])
        assert np.mean(errors <= 1 / 255 + 1e-6) >= 0.999, name
        assert np.array_equal(found.frames[0].positions, reference["positions"][0]), name


def test_every_container_and_codec_gives_the_frames_of_the_same_scene(corpus: dict[str, bytes]) -> None:
    reference = load_video(corpus["h264.mp4"], RULES)
    for name in ("av1.mp4", "vp9.webm", "vp8.webm", "with-audio.mp4"):
        found = load_video(corpus[name], RULES)
        assert found.stamps == reference.stamps, name
        for one, other in zip(found.frames, reference.frames, strict=True):
            assert np.mean(np.abs(one.patches - other.patches)) < 0.03, name


def test_frames_are_chosen_as_transformers_chooses_them() -> None:
    for total in range(1, 200):
        for count in range(1, total + 1):
            reference = default_sample_indices_fn(VideoMetadata(total_num_frames=total, fps=24), num_frames=count)
            assert sample(total, count) == reference.tolist()
        assert sample(total, total + 1) == list(range(total))


def test_a_short_video_gives_all_its_frames(corpus: dict[str, bytes]) -> None:
    assert load_video(corpus["short.mp4"], RULES, 32).seconds == pytest.approx([0, 1 / 24, 2 / 24])


def test_skipping_from_key_to_key_gives_the_frames_that_decoding_all_gives(corpus: dict[str, bytes]) -> None:
    every = load_video(corpus["keys.mp4"], RULES, 200)
    few = load_video(corpus["keys.mp4"], RULES, 7)
    for index, frame in zip(sample(200, 7), few.frames, strict=True):
        assert np.array_equal(frame.patches, every.frames[index].patches)


def test_a_video_recorded_sideways_is_turned_upright(corpus: dict[str, bytes]) -> None:
    [upright] = load_video(corpus["sideways.mp4"], RULES, 1).frames
    [rotated] = load_video(corpus["h264.mp4"], RULES, 1).frames
    assert upright.positions.max(0).tolist() == rotated.positions.max(0)[::-1].tolist()
    # Turned before they are resized, so that rows and columns are rounded in the other order.
    assert np.abs(whole(upright) - np.rot90(whole(rotated), -1)).mean() < 1 / 255


def whole(frame: Any) -> Any:
    """A frame put together again from its patches."""
    columns, rows = frame.positions.max(0) + 1
    return frame.patches.reshape(rows, columns, 16, 16, 3).swapaxes(1, 2).reshape(rows * 16, columns * 16, 3)


@pytest.mark.parametrize("kind", ["a hidden beginning", "other edit lists", "MP4 in pieces", "varying frame rate"])
@pytest.mark.parametrize("seed", range(4))
def test_the_frames_are_those_that_ffmpeg_shows(kind: str, seed: int) -> None:
    content = KINDS[kind](seed)
    pixels, seconds = by_ffmpeg(content, 6)
    found = load_video(content, RULES, 6)
    assert found.seconds == pytest.approx(seconds, abs=1e-6)
    for frame, shown in zip(found.frames, pixels, strict=True):
        assert np.allclose(frame.patches, processed(shown, 70)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("options", [{"g": "100"}, {"g": "12", "bf": "3"}])
def test_a_transport_stream_is_read(options: dict[str, Any]) -> None:
    """Its times begin at more than 1 s, and it has no table of frames."""
    content = video_file("mpegts", "libx264", frames=60, size=(96, 112), **options)
    pixels, seconds = by_ffmpeg(content, 6)
    found = load_video(content, RULES, 6)
    assert found.seconds == pytest.approx(seconds, abs=1e-6)
    for frame, shown in zip(found.frames, pixels, strict=True):
        assert np.allclose(frame.patches, processed(shown, 70)[0], rtol=0, atol=1e-6)


def test_a_part_that_is_cut_away_is_not_seen() -> None:
    """36 of 60 frames are shown, from 1 s on: of these, 8 in equal steps."""
    content = cut(video_file("mp4", "libx264", crf="20", g="250", bf="0"), 1)
    scene = [image_inputs(frame_pixels(index, 60, (144, 192)), RULES.image).patches for index in range(60)]
    found = load_video(content, RULES)
    nearest = [np.argmin([np.abs(frame.patches - each).mean() for each in scene]) for frame in found.frames]
    assert nearest == [24, 28, 33, 37, 42, 46, 51, 55]
    assert found.seconds == pytest.approx([index / 24 for index in (0, 4, 9, 13, 18, 22, 27, 31)], abs=1e-3)


def test_a_video_of_which_nothing_is_shown_is_called_so() -> None:
    content = edited(video_file("mp4", "libx264", frames=9, size=(32, 32)), [(300, 1 << 20)])
    with pytest.raises(MediaError, match="its edit list hides all frames"):
        load_video(content, RULES)


def test_whether_there_is_audio_is_reported(corpus: dict[str, bytes]) -> None:
    assert load_video(corpus["with-audio.mp4"], RULES, 1).has_audio
    assert not load_video(corpus["h264.mp4"], RULES, 1).has_audio


def test_stamps_are_minutes_and_seconds() -> None:
    assert [stamp(seconds) for seconds in (0, 0.999, 59.99, 60, 3600 + 62.5)] == [
        "00:00",
        "00:00",
        "00:59",
        "01:00",
        "61:02",
    ]


@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "with-audio.mp4"])
@pytest.mark.parametrize("kept", [0.05, 0.6, 0.99])
def test_half_a_file_is_called_incomplete(corpus: dict[str, bytes], name: str, kept: float) -> None:
    with pytest.raises(MediaError, match="incomplete"):
        load_video(corpus[name][: int(len(corpus[name]) * kept)], RULES)


def test_a_file_that_is_damaged_within_is_called_so(corpus: dict[str, bytes]) -> None:
    content = bytearray(corpus["h264.mp4"])
    start = content.index(b"mdat") + 2000
    content[start : start + 8000] = np.random.default_rng(1).bytes(8000)
    with pytest.raises(MediaError, match="damaged"):
        load_video(bytes(content), RULES)


def test_other_files_are_no_video_whatever_they_are_called(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("Not a video, but a shopping list.")
    with pytest.raises(MediaError, match=r"notes\.mp4 cannot be read as a video"):
        load_video(tmp_path / "notes.mp4", RULES)


def test_an_empty_or_missing_file_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "nothing.mp4").touch()
    with pytest.raises(MediaError, match=r"nothing\.mp4 is empty"):
        load_video(tmp_path / "nothing.mp4", RULES)
    with pytest.raises(MediaError, match=r"none\.mp4 cannot be read: No such file"):
        load_video(tmp_path / "none.mp4", RULES)


def test_a_file_with_audio_alone_has_no_images() -> None:
    with pytest.raises(MediaError, match="has no video track"):
        load_video(audio_alone(), RULES)


def test_a_codec_that_ffmpeg_does_not_know_is_refused(corpus: dict[str, bytes]) -> None:
    with pytest.raises(MediaError, match="codec that FFmpeg does not know"):
        load_video(in_unknown_codec(corpus["h264.mp4"]), RULES)


def test_a_video_of_huge_frames_is_refused(corpus: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gemtab.media.images.MAX_PIXELS", 192 * 144 - 1)
    with pytest.raises(MediaError, match="192 × 144; the limit is 27,647"):
        load_video(corpus["h264.mp4"], RULES)


def test_at_least_one_frame_is_looked_at(corpus: dict[str, bytes]) -> None:
    with pytest.raises(UsageError, match="not 0"):
        load_video(corpus["short.mp4"], RULES, 0)
