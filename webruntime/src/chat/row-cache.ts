/** Keeps the towers' rows on the GPU, so that no medium is encoded twice. */

import { LIMITS } from "../bundle/limits.gen.ts";
import type { MediaRows } from "../engine/interface.ts";

/** A cache of rows by the keys of their media. */
export class RowCache {
  readonly #limit: number;
  /** The least recently used first. */
  readonly #rows = new Map<string, MediaRows>();

  /** @param limit GPU bytes that rows may take while no prompt is being processed; 256 MiB by default */
  constructor(limit: number = LIMITS.MEDIA_ROWS_BYTES) {
    this.#limit = limit;
  }

  /** The GPU bytes of all kept rows. */
  get bytes(): number {
    return Array.from(this.#rows.values(), ({ bytes }) => bytes).reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Return the rows of a key, which become the most recently used, or undefined. */
  get(key: string): MediaRows | undefined {
    const rows = this.#rows.get(key);
    if (rows) this.add(key, rows);
    return rows;
  }

  /** Add rows as the most recently used, and own them: `trim` may dispose of them. */
  add(key: string, rows: MediaRows): void {
    this.#rows.delete(key);
    this.#rows.set(key, rows);
  }

  /** Dispose of the least recently used rows until the others fit the limit. */
  trim(): void {
    let { bytes } = this;
    for (const [key, rows] of this.#rows) {
      if (bytes <= this.#limit) return;
      bytes -= rows.bytes;
      rows.dispose();
      this.#rows.delete(key);
    }
  }
}
