/** Rows of embeddings of images and audio, and how they come into the steps of `fill`. */

import { ContextError } from "../errors.ts";
import type { MediaRows, PlacedRows } from "./interface.ts";

/** Rows in a GPU buffer of their own. */
export class RowsBuffer implements MediaRows {
  constructor(
    readonly buffer: GPUBuffer,
    readonly tokens: number,
    /** Bytes of one row. */
    readonly rowBytes: number,
  ) {}

  get bytes(): number {
    return this.buffer.size;
  }

  dispose(): void {
    this.buffer.destroy();
  }
}

/** Positions from `start` to before `end`. */
export interface Span {
  start: number;
  end: number;
}

export function spanOf({ position, rows }: PlacedRows): Span {
  return { start: position, end: position + rows.tokens };
}

/**
 * `whole` in chunks of at most `most` tokens, none of which divides one of `blocks`. Throws ContextError where a block
 * is longer than that.
 */
export function chunks(whole: Span, most: number, blocks: readonly Span[]): Span[] {
  const result: Span[] = [];
  for (let start = whole.start; start < whole.end; ) {
    let end = Math.min(start + most, whole.end);
    const cut = blocks.find((block) => block.start < end && end < block.end);
    if (cut) end = cut.start;
    if (cut && end <= start) throw blockTooLong(cut, most);
    result.push({ start, end });
    start = end;
  }
  return result;
}

/** The last position that each token of a chunk sees on sliding layers: its own, or that of its block's last token. */
export function lastVisible({ start, end }: Span, blocks: readonly Span[]): Uint32Array<ArrayBuffer> {
  const visible = Uint32Array.from({ length: end - start }, (_, token) => start + token);
  for (const block of blocks) {
    visible.fill(block.end - 1, Math.max(0, block.start - start), Math.max(0, block.end - start));
  }
  return visible;
}

function blockTooLong({ start, end }: Span, most: number): ContextError {
  return new ContextError(
    `An image takes ${end - start} tokens, which must be processed at once, but this bundle processes ${most} at ` +
      "most. Choose less detail.",
  );
}
