"""Recordings of voices that training leaves out, made by record.py, in one file."""

import io
import json
import wave
from pathlib import Path

import numpy as np

from gemtab.media.audio import load_audio
from gemtab.media.resample import resample
from playwright_tests.accuracy.cases import Case

RECORDINGS = Path(__file__).with_name("recordings.ogg")
TEXTS = Path(__file__).with_name("recordings.json")
"""For each recording in the order of `RECORDINGS`: the voice, its words, and the number of samples."""

RATE = 16_000
COUNT = 200
_ASKED = ("What do I say?", "Transcribe this.", "What do you hear?", "Write down what you hear.")


def recordings() -> list[Case]:
    """Return a case of each, as a WAV file."""
    samples, rate = load_audio(RECORDINGS)
    whole = (resample(samples, rate, RATE) * 32767).round().astype("<i2")
    texts = json.loads(TEXTS.read_text(encoding="utf-8"))
    ends = np.cumsum([one["samples"] for one in texts])
    return [
        Case("audio", ".wav", _wav(piece), _ASKED[index % len(_ASKED)], f"You say: {one['words']}.")
        for index, (one, piece) in enumerate(zip(texts, np.split(whole, ends)[:-1], strict=True))
    ]


def _wav(samples: "np.typing.NDArray[np.int16]") -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(samples.tobytes())
    return file.getvalue()
