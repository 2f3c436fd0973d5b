"""Fills the caches with a prompt, chunk by chunk."""

from collections.abc import Callable, Sequence

from gemtab.backends.media import Media
from gemtab.backends.webgpu.engine.device import Copy
from gemtab.backends.webgpu.engine.gpu_errors import gpu_errors
from gemtab.backends.webgpu.engine.media import chunks, last_visible, shares
from gemtab.backends.webgpu.engine.runner import PlanRunner
from gemtab.backends.webgpu.engine.text_runner import TextRunner
from gemtab.bundle.plan import FILL, ControlBuffer
from gemtab.errors import UsageError


def fill(
    text: TextRunner,
    ids: Sequence[int],
    media: Sequence[Media] = (),
    after_chunk: Callable[[int], None] | None = None,
) -> None:
    """Fill the caches with the tokens `ids`. media: the rows of placeholders among the tokens.

    after_chunk: called with the tokens of each chunk when the GPU has done the chunk; without it, nothing waits for the
    GPU. Raises ContextError if the tokens do not fit the context or an image does not fit a chunk, and UsageError for
    media if the bundle takes text only.
    """
    begin = text.caches.position
    text.caches.check_remaining(len(ids))
    takes_media = text.runner.buffers.has_control("media")
    if media and not takes_media:
        raise UsageError("This bundle takes text only: export the checkpoint with its towers.")
    for start, stop in chunks(begin, begin + len(ids), text.plan.programs[FILL].max_tokens, _whole(text.runner, media)):
        if takes_media:
            put_media(text.runner, start, stop, media)
        text.run(FILL, ids[start - begin : stop - begin], stop - start)
        text.runner.settle()
        if after_chunk:
            text.runner.wait()
            after_chunk(stop - start)


@gpu_errors("Media could not be put into the prompt")
def put_media(runner: PlanRunner, start: int, stop: int, media: Sequence[Media]) -> None:
    """Copy the rows of media at positions start … stop - 1 into the next step's control buffers."""
    row_bytes, target = _row_bytes(runner), runner.buffers.buffer("media")
    copies = (
        Copy(
            one.rows, (begin - one.position) * row_bytes, target, (begin - start) * row_bytes, (end - begin) * row_bytes
        )
        for one, begin, end in shares(start, stop, media)
    )
    runner.device.copy("media", copies)
    if runner.buffers.has_control("visible"):
        runner.buffers.write("visible", last_visible(start, stop, media))


def _whole(runner: PlanRunner, media: Sequence[Media]) -> list[Media]:
    """Return the media that no chunk may divide: images whose tokens see each other."""
    return [one for one in media if one.bidirectional] if runner.buffers.has_control("visible") else []


def _row_bytes(runner: PlanRunner) -> int:
    entry = runner.plan.buffers["media"]
    assert isinstance(entry, ControlBuffer)
    return entry.bytes // runner.plan.programs[FILL].max_tokens
