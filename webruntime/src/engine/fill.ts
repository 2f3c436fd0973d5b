/** Fills the caches with a prompt, chunk by chunk. */

import { FILL } from "../bundle/facts.gen.ts";
import { throwIfAborted, UsageError } from "../errors.ts";
import { kept } from "../patience.ts";
import { attempted } from "./device.ts";
import type { FillOptions, PositionedRows } from "./interface.ts";
import { chunks, lastVisible, type Span, shares, spanOf } from "./media.ts";
import { RowsBuffer } from "./rows-buffer.ts";
import type { PlanRunner } from "./runner.ts";
import type { TextRunner } from "./text-runner.ts";

/** Chunks in flight: one runs while the next is encoded. An abort waits for these chunks alone. */
const CHUNKS_IN_FLIGHT = 2;

/** Rows that a tower of this engine made. */
type RowsAt = PositionedRows & { rows: RowsBuffer };

/** Fills the caches with the tokens `ids`, from the present position on: see `TextEngine.fill`. */
export async function fill(
  text: TextRunner,
  ids: Uint32Array,
  { media = [], signal, onChunk }: FillOptions = {},
): Promise<void> {
  const { runner, caches } = text;
  const start = caches.position;
  caches.checkRemaining(ids.length);
  const blocks = text.blockTokens === undefined ? [] : media.filter(({ bidirectional }) => bidirectional).map(spanOf);
  const cut = chunks({ start, end: start + ids.length }, text.chunkTokens, blocks);
  checkMedia(runner, media);
  const end = runner.work.begin("fill");
  try {
    const inFlight: Promise<unknown>[] = [];
    for (const chunk of cut) {
      throwIfAborted(signal);
      const step = ids.subarray(chunk.start - start, chunk.end - start);
      text.writeStep(step);
      attempted("rows of media", () => putMedia(runner, chunk, media, blocks));
      const { accepted } = await text.run(FILL, step, chunk.start);
      caches.advance(step.length);
      inFlight.push(kept(Promise.all([runner.device.queue.onSubmittedWorkDone(), accepted])));
      if (inFlight.length === CHUNKS_IN_FLIGHT) await runner.work.settled(inFlight.shift());
      onChunk?.(chunk.end - start);
    }
    await runner.work.settled(Promise.all(inFlight));
  } finally {
    end();
  }
}

function checkMedia(runner: PlanRunner, media: readonly PositionedRows[]): asserts media is readonly RowsAt[] {
  if (media.length > 0 && !runner.buffers.hasControl("media")) {
    throw new UsageError("This bundle takes text only. Export the checkpoint with the parts that see and hear.");
  }
  if (media.every(({ rows }) => rows instanceof RowsBuffer)) return;
  throw new UsageError("These rows were not made by a tower of this engine.");
}

/**
 * Writes the next step's control buffers `media` and `visible`.
 *
 * @param media the rows of the prompt's placeholders
 * @param blocks the positions of images whose tokens see each other
 */
function putMedia(runner: PlanRunner, chunk: Span, media: readonly RowsAt[], blocks: readonly Span[]): void {
  const { buffers, device } = runner;
  const parts = shares(chunk, media);
  if (parts.length > 0) {
    const encoder = device.createCommandEncoder({ label: "media" });
    const target = buffers.control("media");
    for (const { rows, from, to, count } of parts) {
      const { buffer, rowBytes } = rows;
      encoder.copyBufferToBuffer(buffer, from * rowBytes, target, to * rowBytes, count * rowBytes);
    }
    device.queue.submit([encoder.finish()]);
  }
  if (buffers.hasControl("visible")) buffers.writeControl("visible", lastVisible(chunk, blocks));
}
