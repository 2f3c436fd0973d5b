/**
 * Tracks the content of the engine's caches, and reuses it for the next prompt. All conversations with one engine share
 * it.
 */

import { LIMITS } from "../bundle/limits.gen.ts";
import type { DecodeOptions, PositionedRows, Snapshot, TextEngine } from "../engine/interface.ts";
import { endOf, keysOf, type PromptItem, type PromptWithMedia } from "./placeholders.ts";

/** An id, or the key of a medium: see `keysOf`. */
type Key = number | string;

/** Return how many keys two sequences have in common at the start. */
export function commonPrefix(left: readonly Key[], right: readonly Key[]): number {
  const end = Math.min(left.length, right.length);
  let length = 0;
  while (length < end && left[length] === right[length]) length++;
  return length;
}

/** Return how many snapshots of `bytes` GPU bytes each are kept: at least one, which the next turn needs. */
export function snapshotCapacity(bytes: number): number {
  const { SNAPSHOTS, SNAPSHOT_BYTES } = LIMITS;
  return bytes === 0 ? SNAPSHOTS : Math.max(1, Math.min(SNAPSHOTS, Math.floor(SNAPSHOT_BYTES / bytes)));
}

/** A way to an earlier position of the caches. */
export interface WayBack {
  by: "stay" | "rewind" | "restore" | "reset";
  position: number;
}

/**
 * Return the cheapest way to the largest position <= `prefix` at which the caches are complete.
 *
 * @param position the caches' position now
 * @param prefix the number of cached ids with which the next prompt begins
 * @param snapshots positions of the snapshots
 * @param canRewind whether the rings still hold the window before a position
 */
export function wayBack(
  position: number,
  prefix: number,
  snapshots: readonly number[],
  canRewind: (to: number) => boolean,
): WayBack {
  if (prefix === position) return { by: "stay", position };
  if (canRewind(prefix)) return { by: "rewind", position: prefix };
  const nearest = Math.max(-1, ...snapshots.filter((snapshot) => snapshot <= prefix));
  return nearest < 0 ? { by: "reset", position: 0 } : { by: "restore", position: nearest };
}

/** The options of a fill. */
export interface FillOptions {
  signal?: AbortSignal | undefined;
  /** Encodes the media that the caches do not hold yet. */
  encode?: ((items: readonly PromptItem[]) => Promise<PositionedRows[]>) | undefined;
  /**
   * Called before any work and after each chunk. done: ids in the caches, reused ones included; reused: ids that the
   * caches already held.
   */
  onProgress?: ((done: number, reused: number) => void) | undefined;
}

/** The content of one engine's caches. */
export class PromptCache {
  readonly #engine: TextEngine;
  /** The keys of the caches' tokens; their number is `engine.position`. */
  #keys: readonly Key[] = [];
  /** Sorted by position. The ids before each snapshot are the first ids of `#keys`. */
  #snapshots: Snapshot[] = [];

  constructor(engine: TextEngine) {
    this.#engine = engine;
  }

  /**
   * Fill the caches with the whole prompt but its last id, which the first decode step takes. Keep a snapshot at
   * `stable`: the length of the prefix that the next turn is expected to share.
   */
  async fill(prompt: PromptWithMedia, stable: number, options: FillOptions = {}): Promise<void> {
    const keys = keysOf(prompt);
    const last = keys.length - 1;
    const reused = this.#goBack(this.#wholeBlocks(commonPrefix(this.#keys, keys.slice(0, last)), prompt));
    const report = (done: number) => options.onProgress?.(done, reused);
    report(reused);
    try {
      const missing = prompt.items.filter((positioned) => endOf(positioned) > reused);
      const media = missing.length > 0 ? await options.encode?.(missing) : [];
      const fillTo = (end: number) => this.#fillTo(end, prompt.ids, { media, report, signal: options.signal });
      const snapshotAt = this.#wholeBlocks(stable, prompt);
      if (snapshotAt >= reused && snapshotAt <= last) {
        await fillTo(snapshotAt);
        await this.#takeSnapshot();
      }
      await fillTo(last);
    } finally {
      this.#keys = keys.slice(0, this.#engine.position);
    }
  }

  /**
   * Decode from a filled prompt: yield the ids that the model continues with. The caller ends the loop at a stop id.
   */
  async *decode(prompt: PromptWithMedia, options: DecodeOptions): AsyncGenerator<number, void, void> {
    const all = keysOf(prompt);
    try {
      for await (const id of this.#engine.decode(prompt.ids.at(-1) as number, options)) {
        all.push(id);
        yield id;
      }
    } finally {
      this.#keys = all.slice(0, this.#engine.position);
    }
  }

  /** Dispose of all snapshots. */
  dispose(): void {
    this.#dropSnapshots(-1);
  }

  /** Return the position, or the beginning of the image around it where images are processed as wholes. */
  #wholeBlocks(position: number, { items }: PromptWithMedia): number {
    if (this.#engine.blockTokens === undefined) return position;
    const around = items.find(
      (positioned) =>
        positioned.item.tower === "image" && positioned.position < position && position < endOf(positioned),
    );
    return around?.position ?? position;
  }

  #goBack(prefix: number): number {
    const positions = this.#snapshots.map((snapshot) => snapshot.position);
    const way = wayBack(this.#engine.position, prefix, positions, (to) => this.#engine.canRewind(to));
    if (way.by === "rewind") this.#engine.rewind(way.position);
    else if (way.by === "reset") this.#engine.reset();
    else if (way.by === "restore") {
      const snapshot = this.#snapshots.find(({ position }) => position === way.position);
      if (snapshot) this.#engine.restore(snapshot);
    }
    this.#dropSnapshots(prefix);
    return way.position;
  }

  async #fillTo(
    end: number,
    ids: readonly number[],
    {
      media = [],
      report,
      signal,
    }: { media: PositionedRows[] | undefined; report(done: number): void; signal: AbortSignal | undefined },
  ): Promise<void> {
    const start = this.#engine.position;
    if (start === end) return;
    const onChunk = (done: number) => report(start + done);
    await this.#engine.fill(Uint32Array.from(ids.slice(start, end)), { media, onChunk, signal });
  }

  async #takeSnapshot(): Promise<void> {
    if (this.#snapshots.at(-1)?.position === this.#engine.position) return;
    const snapshot = await this.#engine.snapshot();
    // Without a snapshot, the next turn starts from an earlier position.
    if (!snapshot) return;
    this.#snapshots.push(snapshot);
    while (this.#snapshots.length > snapshotCapacity(snapshot.bytes)) this.#snapshots.shift()?.dispose();
  }

  /** Drop snapshots beyond `position`, whose ids the caches no longer hold. */
  #dropSnapshots(position: number): void {
    for (const snapshot of this.#snapshots) if (snapshot.position > position) snapshot.dispose();
    this.#snapshots = this.#snapshots.filter((snapshot) => snapshot.position <= position);
  }
}
