/** The position of the caches, and the positions to which they can go back. */

import type { Ring } from "../bundle/plan.gen.ts";
import { ContextError } from "../errors.ts";

/** A state of CachePosition. */
export interface Mark {
  /** Tokens in the caches. */
  position: number;
  /** The largest position stored in the rings since they were empty, plus 1. */
  written: number;
}

/**
 * The position of caches with rings. A ring stores position p in row p modulo its rows. After position q was written,
 * positions up to q - rows are overwritten. So a rewind depends on the largest position that was ever written, also by steps
 * that ran ahead or were taken back.
 */
export class CachePosition {
  /** Tokens in the caches: the position of the next token. */
  position = 0;
  /** The largest position written since the rings were empty, plus 1. */
  #written = 0;

  /** @param rings the shapes of the plan's rings; none if every cache is full */
  constructor(private readonly rings: readonly Ring[]) {}

  /** Records that steps wrote `count` positions from `position` on. Assign `position` for those that stay. */
  wrote(count: number): void {
    this.#written = Math.max(this.#written, this.position + count);
  }

  /** The most steps that may run ahead and still be taken back. Infinity without rings. */
  get slack(): number {
    return Math.min(...this.rings.map(({ rows, window }) => rows - window));
  }

  /** Whether every ring still holds the window of a token at position `to`. Always true for 0. */
  canRewind(to: number): boolean {
    if (!Number.isInteger(to) || to < 0 || to > this.position) return false;
    if (to === 0) return true;
    return this.rings.every(({ rows, window }) => Math.max(0, to - window) >= this.#written - rows);
  }

  /** Goes back to position `to`. Throws ContextError if `canRewind` is false. */
  rewind(to: number): void {
    if (!this.canRewind(to)) {
      throw new ContextError(
        `The caches cannot go back from position ${this.position} to ${to}: the sliding layers have already ` +
          "overwritten the window before it. Restore a snapshot at or before that position, or reset.",
      );
    }
    if (to === 0) this.reset();
    this.position = to;
  }

  /** Goes to position 0 with empty rings. */
  reset(): void {
    this.position = 0;
    this.#written = 0;
  }

  /** The present state. */
  mark(): Mark {
    return { position: this.position, written: this.#written };
  }

  /** Returns to `mark`, after the contents of the rings were restored. */
  restore(mark: Mark): void {
    this.position = mark.position;
    this.#written = mark.written;
  }
}
