/** What towers made, kept on the GPU so that nothing is encoded twice. */

import { LIMITS } from "../bundle/limits.gen.ts";
import type { MediaRows } from "../engine/interface.ts";

export class RowCache {
  readonly #limit: number;
  /** The least recently used first. */
  readonly #rows = new Map<string, MediaRows>();

  /** @param limit GPU bytes that rows may take while no prompt is being processed; 256 MiB by default */
  constructor(limit: number = LIMITS.MEDIA_ROWS_BYTES) {
    this.#limit = limit;
  }

  get bytes(): number {
    return Array.from(this.#rows.values(), ({ bytes }) => bytes).reduce((sum, bytes) => sum + bytes, 0);
  }

  get(key: string): MediaRows | undefined {
    const rows = this.#rows.get(key);
    if (rows) this.add(key, rows);
    return rows;
  }

  /** Takes rows over, as the most recently used; `trim` may dispose of them. */
  add(key: string, rows: MediaRows): void {
    this.#rows.delete(key);
    this.#rows.set(key, rows);
  }

  /** Disposes of the least recently used until the rest fits the limit. */
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
