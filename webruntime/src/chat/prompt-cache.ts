/** What the engine's caches hold, and how the next prompt reuses it. Shared by all conversations with one engine. */

import { LIMITS } from "../bundle/limits.gen.ts";
import type { DecodeOptions, PlacedRows, Snapshot, TextEngine } from "../engine/interface.ts";
import { endOf, keysOf, type PlacedItem, type PlacedPrompt } from "./placeholders.ts";

/** An id, or what the token is of: see `keysOf`. */
type Key = number | string;

/** How many keys two sequences have in common from the start. */
export function commonPrefix(left: readonly Key[], right: readonly Key[]): number {
  const end = Math.min(left.length, right.length);
  let length = 0;
  while (length < end && left[length] === right[length]) length++;
  return length;
}

/** How many snapshots of so many GPU bytes each are kept: at least the one that the next turn needs. */
export function snapshotCapacity(bytes: number): number {
  const { SNAPSHOTS, SNAPSHOT_BYTES } = LIMITS;
  return bytes === 0 ? SNAPSHOTS : Math.max(1, Math.min(SNAPSHOTS, Math.floor(SNAPSHOT_BYTES / bytes)));
}

export interface WayBack {
  by: "stay" | "rewind" | "restore" | "reset";
  position: number;
}

/**
 * The cheapest way to the largest position <= `prefix` at which the caches are whole.
 *
 * @param position where the caches are
 * @param prefix how many of the cached ids the next prompt begins with
 * @param snapshots positions of the snapshots
 * @param canRewind whether the rings still hold what position `to` looks back on
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

export interface FillOptions {
  signal?: AbortSignal | undefined;
  /** Makes the rows of media that the caches do not hold yet. */
  encode?: ((items: readonly PlacedItem[]) => Promise<PlacedRows[]>) | undefined;
  /** done: ids in the caches so far, those that they already held (reused) included; first called before any work. */
  onProgress?: ((done: number, reused: number) => void) | undefined;
}

export class PromptCache {
  readonly #engine: TextEngine;
  /** What is in the caches; as many as engine.position. */
  #keys: readonly Key[] = [];
  /** By position, ascending. Each was taken with what #keys begins with. */
  #snapshots: Snapshot[] = [];

  constructor(engine: TextEngine) {
    this.#engine = engine;
  }

  /**
   * Brings the caches to all of a prompt but its last id, which the first decode step takes, and keeps a snapshot at
   * `stable`: the place up to which the next turn is expected to begin with the same.
   */
  async fill(prompt: PlacedPrompt, stable: number, options: FillOptions = {}): Promise<void> {
    const keys = keysOf(prompt);
    const last = keys.length - 1;
    const reused = this.#goBack(this.#wholeBlocks(commonPrefix(this.#keys, keys.slice(0, last)), prompt));
    const tell = (done: number) => options.onProgress?.(done, reused);
    tell(reused);
    try {
      const missing = prompt.items.filter((placed) => endOf(placed) > reused);
      const media = missing.length > 0 ? await options.encode?.(missing) : [];
      const fillTo = (end: number) => this.#fillTo(end, prompt.ids, { media, tell, signal: options.signal });
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

  /** Decodes from a prompt that was filled: the ids that the model goes on with. End the loop at a stop id. */
  async *decode(prompt: PlacedPrompt, options: DecodeOptions): AsyncGenerator<number, void, void> {
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

  dispose(): void {
    this.#dropSnapshots(-1);
  }

  /** The place, or the beginning of the picture around it where pictures are processed as wholes. */
  #wholeBlocks(place: number, { items }: PlacedPrompt): number {
    if (this.#engine.blockTokens === undefined) return place;
    const around = items.find(
      (placed) => placed.item.tower === "image" && placed.position < place && place < endOf(placed),
    );
    return around?.position ?? place;
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
      tell,
      signal,
    }: { media: PlacedRows[] | undefined; tell(done: number): void; signal: AbortSignal | undefined },
  ): Promise<void> {
    const start = this.#engine.position;
    if (start === end) return;
    const onChunk = (done: number) => tell(start + done);
    await this.#engine.fill(Uint32Array.from(ids.slice(start, end)), { media, onChunk, signal });
  }

  async #takeSnapshot(): Promise<void> {
    if (this.#snapshots.at(-1)?.position === this.#engine.position) return;
    const snapshot = await this.#engine.snapshot();
    // Without one the next turn starts from further back.
    if (!snapshot) return;
    this.#snapshots.push(snapshot);
    while (this.#snapshots.length > snapshotCapacity(snapshot.bytes)) this.#snapshots.shift()?.dispose();
  }

  /** Drops those beyond `position`, whose ids the caches no longer hold. */
  #dropSnapshots(position: number): void {
    for (const snapshot of this.#snapshots) if (snapshot.position > position) snapshot.dispose();
    this.#snapshots = this.#snapshots.filter((snapshot) => snapshot.position <= position);
  }
}
