/** Where the caches stand, and how far back they can go. */

import type { Ring } from "../bundle/plan.gen.ts";
import { ContextError } from "../errors.ts";

export interface Mark {
  position: number;
  written: number;
}

/**
 * Position p lies in row p modulo rows of every ring, so once position q was written, positions up to q - rows are gone.
 * What counts is therefore the largest position ever written, run-ahead and taken-back steps included.
 */
export class CachePosition {
  /** Ids in the caches: the position of the next one. */
  position = 0;
  /** One more than the largest position written since the caches were last whole. */
  #written = 0;

  /** @param rings the shapes of all rings of the plan; none where every cache is full */
  constructor(private readonly rings: readonly Ring[]) {}

  /** Steps wrote `count` positions from `position` on; how many of them stay is told by assigning `position`. */
  wrote(count: number): void {
    this.#written = Math.max(this.#written, this.position + count);
  }

  /** The largest number of steps that may run ahead and still be taken back. */
  get slack(): number {
    return Math.min(...this.rings.map(({ rows, window }) => rows - window));
  }

  /** Whether every ring still holds all that a reader at position `to` looks back on; at 0 that is nothing. */
  canRewind(to: number): boolean {
    if (!Number.isInteger(to) || to < 0 || to > this.position) return false;
    if (to === 0) return true;
    return this.rings.every(({ rows, window }) => Math.max(0, to - window) >= this.#written - rows);
  }

  rewind(to: number): void {
    if (!this.canRewind(to)) {
      throw new ContextError(
        `The caches cannot go back from position ${this.position} to ${to}: the sliding layers have already ` +
          "overwritten what comes before it. Restore a snapshot at or before that position, or reset.",
      );
    }
    if (to === 0) this.reset();
    this.position = to;
  }

  reset(): void {
    this.position = 0;
    this.#written = 0;
  }

  mark(): Mark {
    return { position: this.position, written: this.#written };
  }

  /** The rings were made again what they were at `mark`. */
  restore(mark: Mark): void {
    this.position = mark.position;
    this.#written = mark.written;
  }
}
