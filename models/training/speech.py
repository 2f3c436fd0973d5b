"""One to three spoken words by espeak-ng, flite and SVOX Pico, in many voices, and the model's transcript of them."""

import io
import subprocess
import tempfile
import wave
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .conversation import Example

RATE = 16_000
WORDS = (
    "zero one two three four five six seven eight nine red green blue yellow black white cat dog bird fish "
    "yes no stop go left right up down hello water"
).split()

_ESPEAK = "m1 m2 m3 m4 m5 m7 f1 f2 f3 f5 klatt klatt2 klatt4 Alex Andy Annie Gene Jacky Lee Mario Michael steph edward".split()
_ACCENTS = ("en-us", "en-gb", "en-gb-scotland")
_FLITE = ("kal16", "awb", "slt")
UNSEEN_ESPEAK = "m6 m8 f4 klatt3 Denis Storm linda max paul steph2".split()
_UNSEEN_FLITE = ("rms",)
_PICO = ("en-US", "en-GB")

Voices = Literal["many", "pico", "unseen"]
"""Training has the many voices of espeak-ng and flite and, since those of Pico are nearer to people's, more of these."""


@dataclass(frozen=True)
class Utterance:
    """Spoken words. voice: the synthesiser's name. speed: words a minute. pitch: 0 to 99."""

    words: tuple[str, ...]
    voice: str
    speed: int
    pitch: int

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def speak(self) -> NDArray[np.float32]:
        """Its samples at 16 kHz, from -1 to 1. Raises FileNotFoundError where the synthesiser is not installed."""
        name = self.voice.rpartition(":")[2]
        # All write a file, which Pico insists on.
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            if self.voice.startswith("flite:"):
                stretch = f"duration_stretch={170 / self.speed:.2f}"
                command = ["flite", "-voice", name, "--setf", stretch, "-t", self.text, "-o", file.name]
            elif self.voice.startswith("pico:"):
                how = f'<pitch level="{50 + self.pitch}"><speed level="{self.speed * 100 // 170}">'
                command = ["pico2wave", "-l", name, "-w", file.name, f"{how}{self.text}</speed></pitch>"]
            else:
                how = f"-s {self.speed} -p {self.pitch}"
                command = ["espeak-ng", "-v", name, *how.split(), "-w", file.name, self.text]
            subprocess.run(command, capture_output=True, check=True)
            return _samples(file.read())


def _samples(audio: bytes) -> NDArray[np.float32]:
    """A WAV file's samples, of one channel, resampled to 16 kHz."""
    with wave.open(io.BytesIO(audio)) as reader:
        rate, frames = reader.getframerate(), reader.readframes(reader.getnframes())
    data = np.frombuffer(frames, np.int16).astype(np.float32) / np.float32(32768)
    if rate == RATE:
        return data
    spectrum = np.fft.rfft(data)
    length = round(len(data) * RATE / rate)
    kept = np.zeros(length // 2 + 1, np.complex64)
    kept[:] = spectrum[: len(kept)]
    return np.asarray(np.fft.irfft(kept, length) * (length / len(data)), np.float32)


def _trimmed(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without the silence at both ends."""
    loud = np.nonzero(np.abs(audio) > 0.01)[0]
    return audio[loud[0] : loud[-1] + 1] if len(loud) else audio


def is_held_out(words: tuple[str, ...]) -> bool:
    """Whether training leaves out this sequence: a tenth of those of two or more words."""
    return len(words) > 1 and zlib.crc32(" ".join(words).encode()) % 10 == 0


def utterance(rng: Random, voices: Voices = "many", held_out: bool = False) -> Utterance:
    """A random utterance. Training takes word sequences that are not held out."""
    while True:
        words = tuple(rng.choice(WORDS) for _ in range(rng.choice((1, 2, 2, 3, 3))))
        if len(words) == 1 or is_held_out(words) == held_out:
            break
    espeak, flite = (UNSEEN_ESPEAK, _UNSEEN_FLITE) if voices == "unseen" else (_ESPEAK, _FLITE)
    if voices == "pico":
        voice = f"pico:{rng.choice(_PICO)}"
    elif rng.random() < 0.2:
        voice = f"flite:{rng.choice(flite)}"
    else:
        voice = f"{rng.choice(_ACCENTS)}+{rng.choice(espeak)}"
    return Utterance(words, voice, rng.randrange(120, 210), rng.randrange(20, 80))


@dataclass(frozen=True)
class Recording:
    """An utterance and its samples."""

    said: Utterance
    samples: NDArray[np.float32]


def recordings(rng: Random, count: int, voices: Voices = "many", held_out: bool = False) -> list[Recording]:
    """`count` utterances, spoken."""
    said = [utterance(rng, voices, held_out) for _ in range(count)]
    with ThreadPoolExecutor(2) as pool:
        return [
            Recording(one, _trimmed(audio)) for one, audio in zip(said, pool.map(Utterance.speak, said), strict=True)
        ]


def pool(voices: Voices, count: int, folder: Path) -> list[Recording]:
    """Return `count` recordings of the training set. They are synthesised once and cached in `folder`."""
    kept = folder / f"speech-{voices}-{count}.npz"
    rng = Random(1)
    if kept.exists():
        said = [utterance(rng, voices) for _ in range(count)]
        with np.load(kept) as saved:
            bounds, samples = saved["bounds"], saved["samples"]
        pieces = [samples[a:b].astype(np.float32) / 32768 for a, b in pairwise(bounds)]
        return [Recording(one, piece) for one, piece in zip(said, pieces, strict=True)]
    made = recordings(rng, count, voices)
    bounds = np.cumsum([0] + [len(recording.samples) for recording in made])
    samples = (np.concatenate([recording.samples for recording in made]) * 32767).astype(np.int16)
    np.savez(kept, bounds=bounds, samples=samples)
    return made


def recorded(recording: Recording, rng: np.random.Generator) -> NDArray[np.float32]:
    """The recording as a microphone may bring it: a longer or shorter throat, a level, silence around it, noise 8 to 45 dB
    below, a tilted spectrum."""
    before, after = rng.integers(0, 4000), rng.integers(1500, 6000)
    spoken = recording.samples
    if rng.random() < 0.5:
        positions = np.arange(0, len(spoken) - 1, rng.uniform(0.82, 1.18))
        spoken = np.interp(positions, np.arange(len(spoken)), spoken).astype(np.float32)
    audio = np.pad(spoken, (int(before), int(after)))
    tilt = rng.uniform(-0.3, 0.3)
    audio = audio - tilt * np.concatenate(([0.0], audio[:-1])).astype(np.float32)
    level = np.sqrt(np.mean(recording.samples**2)) + 1e-6
    hiss = rng.normal(0, level * 10 ** (-rng.uniform(8, 45) / 20), len(audio))
    loud = (audio + hiss) * (rng.uniform(0.03, 0.15) / level)
    return np.asarray(np.clip(loud, -1, 1), np.float32)


_ASK = (
    "what do I say|what is said|what did I say|transcribe this|write down what you hear|what do you hear|listen to this"
)


def example(rng: Random, said: Utterance, task: str = "speech") -> Example:
    """The example that asks for the transcript of `said`."""
    asked = rng.choice(_ASK.split("|"))
    if rng.random() < 0.7:
        asked = asked[0].upper() + asked[1:] + rng.choice(("?", ".", ""))
    parts = [{"type": "audio"}, {"type": "text", "text": asked}]
    if rng.random() < 0.3:
        parts.reverse()
    answer = f"You say: {said.text}."
    return Example(task, [{"role": "user", "content": parts}], answer, "I listen.", thinking=rng.random() < 0.1)


def words_of(recordings: list[Recording]) -> Iterator[list[int]]:
    """The word numbers of each recording, for a CTC head."""
    for recording in recordings:
        yield [WORDS.index(word) for word in recording.said.words]
