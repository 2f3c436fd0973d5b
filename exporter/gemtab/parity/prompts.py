"""The prompts of a comparison."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gemtab.bundle.manifest import Manifest
from gemtab.chat.media import Medium, Prompt
from gemtab.chat.prompt_process import PromptProcess
from gemtab.chat.session import Message, content_of
from gemtab.media.images import Pixels
from gemtab.parity.extent import EXTENTS, Extent

QUESTIONS = (
    "Hello! Who are you?",
    "What is the capital of France, and what is 12 + 30?",
    "Écris « bonjour », then 你好, then a smile: 🙂",
)

STORY = (
    "The lighthouse keeper wrote down the weather every evening. On the first day there was fog, on the second a "
    "south wind, on the third eleven ships passed and none of them stopped. "
)


def prompts(
    folder: Path, manifest: Manifest, long: int | None, most: int, extent: Extent = EXTENTS["full"]
) -> list[Prompt]:
    """Return a few prompts, rendered by the bundle's template: short ones, one of about `long` tokens that makes ring
    caches wrap, one with an image and audio, and one with a video, as far as the bundle takes these. Prompts of more
    than `most` tokens are left out."""
    writer = PromptProcess(folder)

    def render(text: str, *media: Medium) -> Prompt:
        messages: Sequence[Message] = [{"role": "user", "content": content_of(text, media)}]
        return writer.prompt(messages, media, trusted=True)

    rendered = [render(question) for question in QUESTIONS[: extent.questions]]
    if long is not None:
        story_tokens = max(writer.count(STORY), 1)
        repeats = max(1, min(-(-long // story_tokens), (most - 40) // story_tokens))
        rendered.append(render(STORY * repeats + "What did the keeper do?"))
    for media in _media(folder, manifest, extent.detail):
        rendered.append(render("What do you see, and what do you hear?", *media))
    return [prompt for prompt in rendered if len(prompt.ids) <= most]


def _media(folder: Path, manifest: Manifest, detail: int | None) -> Iterator[list[Medium]]:
    """Yield the media of two prompts, made without files: an image of overlapping colour waves with a rising tone, and
    a video of two such frames."""
    if manifest.inputs == ("text",):
        return
    from gemtab.chat.reader import MediaReader  # needs Pillow and PyAV

    reader, first = MediaReader(folder, manifest), []
    if "image" in manifest.inputs:
        first.append(reader.image_from_pixels(_waves(0), detail))
    if "audio" in manifest.inputs:
        seconds = np.arange(20_000) / 16_000
        tone = 0.3 * np.sin(2 * np.pi * (200 + 600 * seconds) * seconds)
        first.append(reader.audio_from_samples(tone.astype(np.float32), 16_000))
    if first:
        yield first
    if "video" in manifest.inputs:
        yield [reader.video_from_frames([_waves(0), _waves(2)], ["00:00", "00:01"], detail)]


def _waves(phase: float) -> Pixels:
    """Return overlapping waves of colour, [240, 320, 3] u8."""
    y, x = np.mgrid[:240, :320]
    waves = [np.sin(x / 17 + y / 41 + phase), np.sin(x / 29 - y / 13 - phase), np.sin(x * y / 2000)]
    return (np.stack(waves, -1) * 120 + 128).astype(np.uint8)
