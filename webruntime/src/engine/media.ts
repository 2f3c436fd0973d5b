/** Divides a prompt with images into chunks, and finds the media of a chunk: arithmetic alone. */

import { ContextError } from "../errors.ts";
import type { PositionedRows } from "./interface.ts";

/** Positions from `start` to before `end`. */
export interface Span {
  /** The first position. */
  start: number;
  /** The position after the last. */
  end: number;
}

/** The positions of the rows' placeholders. */
export function spanOf({ position, rows }: PositionedRows): Span {
  return { start: position, end: position + rows.tokens };
}

/**
 * Divides `whole` into chunks of at most `most` tokens. No chunk divides one of `blocks`. Throws ContextError for a block of
 * more than `most` tokens.
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

/** Rows of media that belong to a chunk. */
export interface Share<R> {
  /** All rows of the image or audio. */
  rows: R;
  /** The first of `rows` that belongs to the chunk. */
  from: number;
  /** The token of the chunk that this row belongs to. */
  to: number;
  /** The number of rows. */
  count: number;
}

/** The rows of media that belong to a chunk. */
export function shares<P extends PositionedRows>(chunk: Span, media: readonly P[]): Share<P["rows"]>[] {
  return media.flatMap(({ position, rows }) => {
    const begin = Math.max(position, chunk.start);
    const count = Math.min(position + rows.tokens, chunk.end) - begin;
    return count > 0 ? [{ rows, from: begin - position, to: begin - chunk.start, count }] : [];
  });
}

/** The last position that each token of a chunk attends to in sliding layers: its own, or the last of its block. */
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
