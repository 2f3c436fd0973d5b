"""Makes recordings.ogg and recordings.json: `python -m playwright_tests.accuracy.record`.

Voices that training leaves out: Festival's ked, flite's rms, and some of espeak-ng. Word sequences that training leaves
out. Needs all three programs (on Debian: festival, festvox-kdlpc16k, flite, espeak-ng).
"""

import json
import subprocess
import tempfile
from pathlib import Path
from random import Random

import av
import numpy as np
from numpy.typing import NDArray

from gemtab.media.audio import load_audio
from gemtab.media.resample import resample
from models.training.speech import UNSEEN_ESPEAK, WORDS, is_held_out
from playwright_tests.accuracy.recordings import COUNT, RATE, RECORDINGS, TEXTS


def words(rng: Random) -> tuple[str, ...]:
    """Return one to three words; two or three in an order that training leaves out."""
    while True:
        said = tuple(rng.choice(WORDS) for _ in range(rng.choice((1, 2, 3))))
        if len(said) == 1 or is_held_out(said):
            return said


def spoken(voice: str, text: str, rng: Random) -> NDArray[np.float32]:
    """Return the voice's samples of the text, at `RATE`."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "spoken.wav")
        kind, _, name = voice.partition(":")
        command = {
            "festival": ["text2wave", "-o", file, "-eval", f"(voice_{name})"],
            "flite": ["flite", "-voice", name, "-t", text, "-o", file],
            "espeak": ["espeak-ng", "-v", name, "-s", str(rng.randrange(130, 190)), "-w", file, text],
        }[kind]
        subprocess.run(command, input=text.encode(), check=True, capture_output=True)
        samples, rate = load_audio(Path(file))
    return resample(samples, rate, RATE)


def recorded(audio: NDArray[np.float32], rng: Random) -> NDArray[np.float32]:
    """Return the audio as in a room: with a short echo, a quiet rumble and hum, pauses around it, and a random
    level."""
    noise = np.random.default_rng(rng.randrange(2**31))
    before, after = rng.randrange(1000, 5000), rng.randrange(3000, 6000)
    audio = np.pad(audio, (before, after))
    echo = rng.randrange(200, 600)
    audio[echo:] += rng.uniform(0, 0.25) * audio[:-echo]
    level = float(np.abs(audio).max())
    rumble = np.convolve(noise.normal(0, 1, len(audio)), np.full(8, 1 / 8), "same")
    hum = np.sin(np.arange(len(audio)) * 2 * np.pi * 50 / RATE)
    heard = audio + level * (rng.uniform(0.002, 0.03) * rumble + rng.uniform(0, 0.01) * hum)
    return np.asarray(heard * (rng.uniform(0.15, 0.8) / level), np.float32)


def encode(samples: NDArray[np.float32], path: Path) -> None:
    """Write an Ogg file with Opus at 24 kbit/s."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libopus", rate=RATE, layout="mono", options={"b": "24000"})
        whole = av.AudioFrame.from_ndarray((np.clip(samples, -1, 1) * 32767).astype(np.int16)[None], "s16", "mono")
        whole.sample_rate = RATE
        file.mux([packet for part in (whole, None) for packet in stream.encode(part)])


def main() -> None:
    """Write both files."""
    rng = Random("recordings")
    texts, pieces = [], []
    for index in range(COUNT):
        # A quarter for each of the two that come from a person's voice.
        formant = f"espeak:{rng.choice(('en-us', 'en-gb'))}+{UNSEEN_ESPEAK[index // 2 % len(UNSEEN_ESPEAK)]}"
        voice = ("festival:ked_diphone", "flite:rms", formant, formant)[index % 4]
        said = " ".join(words(rng))
        pieces.append(recorded(spoken(voice, said, rng), rng))
        texts.append({"voice": voice, "words": said, "samples": len(pieces[-1])})
    encode(np.concatenate(pieces), RECORDINGS)
    TEXTS.write_text(json.dumps(texts, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
