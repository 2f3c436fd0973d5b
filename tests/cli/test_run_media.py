"""`gemtab run` with images, audio and videos."""

import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gemtab.backends.webgpu.engine.encoder import TowerEncoder
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.bundle.folder import read_manifest
from gemtab.chat import ChatSession
from gemtab.chat.reader import MediaReader
from tests.cli.conftest import Gemtab
from tests.media.videos import video_file

QUESTION = "What is this?"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "image.png"
    Image.linear_gradient("L").resize((300, 200)).convert("RGB").save(path)
    return path


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "audio.wav"
    write_audio(path, seconds=1)
    return path


def write_audio(path: Path, seconds: int) -> None:
    samples = np.sin(np.arange(16_000 * seconds) / 20) * 8000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.astype("<i2").tobytes())


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "film.webm"
    path.write_bytes(video_file("webm", "libvpx", frames=3, with_audio=True, b="1M"))
    return path


def prompt_tokens(err: str) -> int:
    return int(err.rpartition("prompt ")[2].split()[0])


def test_media_are_part_of_the_prompt(gemtab: Gemtab, exported: Path, image: Path, audio: Path, film: Path) -> None:
    def tokens(*options: str | Path) -> int:
        result = gemtab("run", exported, "-p", QUESTION, "--max-tokens", "1", *options)
        assert result.code == 0, result.err
        return prompt_tokens(result.err)

    plain, reader = tokens(), MediaReader(exported, read_manifest(exported))
    seen, heard = reader.image(image), reader.audio(audio)
    # Each stands between two tokens that mark its beginning and its end.
    assert tokens("--image", image) == plain + seen.items[0].tokens + 2
    assert tokens("--audio", audio) == plain + heard.items[0].tokens + 2
    both = seen.items[0].tokens + heard.items[0].tokens + 4
    assert tokens("--audio", audio, "--image", image) == plain + both
    video_items = reader.video(film).items
    assert [one.tower for one in video_items] == ["image"] * 3 + ["audio"]
    assert tokens("--video", film) > plain + sum(one.tokens for one in video_items)
    # A frame less, with its stamp.
    assert tokens("--video", film, "--frames", "2") < tokens("--video", film) - video_items[0].tokens


def test_detail_limits_the_tokens_of_an_image(exported: Path, image: Path) -> None:
    reader = MediaReader(exported, read_manifest(exported))
    assert reader.image(image, 70).items[0].tokens <= 70
    assert 70 < reader.image(image, 280).items[0].tokens <= 280


def test_long_audio_is_heard_in_segments_or_refused(gemtab: Gemtab, exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    write_audio(path, seconds=31)
    reader = MediaReader(exported, read_manifest(exported))
    assert len(reader.audio(path).items) == 2
    result = gemtab("run", exported, "-p", QUESTION, "--audio", path, "--long-audio", "refuse")
    assert result.code == 9
    assert "lasts 31.0 seconds; the model takes 30 at once" in result.err.replace("\n", " ")


def test_an_image_is_encoded_once(exported: Path, image: Path) -> None:
    """Also where the caches are gone: its rows are kept."""
    executor = TextEngine(exported)
    encoder = TowerEncoder(exported, executor)
    session = ChatSession(exported, executor, encoder=encoder)
    medium = MediaReader(exported, read_manifest(exported)).image(image)
    for question in (QUESTION, "And what else?"):
        session.messages = []
        executor.reset()
        asked = [{"type": "image", "medium": medium}, {"type": "text", "text": question}]
        list(session.send(asked, max_tokens=2))  # type: ignore[arg-type]
    assert encoder.encoded == 1


def test_a_damaged_image_is_said_in_words(gemtab: Gemtab, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("This is no image.")
    result = gemtab("run", exported, "-p", QUESTION, "--image", tmp_path / "text.png")
    assert result.code == 9
    assert "text.png cannot be read as an image" in result.err.replace("\n", " ")
    assert result.out == ""


def test_a_bundle_without_the_tower_says_so(gemtab: Gemtab, tiny: Path, tmp_path: Path, image: Path) -> None:
    exported = gemtab("export", tiny, tmp_path / "text", "--inputs", "text", "--context", "512")
    assert exported.code == 0, exported.err
    result = gemtab("run", tmp_path / "text", "-p", QUESTION, "--image", image)
    assert result.code == 2
    assert "This bundle takes text, not image." in result.err.replace("\n", " ")


def test_media_beyond_the_context_are_refused(gemtab: Gemtab, exported: Path, image: Path) -> None:
    many = [option for _ in range(40) for option in ("--image", image)]
    result = gemtab("run", exported, "-p", QUESTION, *many)
    assert result.code == 7
    assert "the context holds" in result.err.replace("\n", " ")
