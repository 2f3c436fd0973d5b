/** From media to rows of embeddings. */

import type { MediaRows, PlacedRows, TextEngine } from "../engine/interface.ts";
import { ContextError, throwIfAborted, UsageError } from "../errors.ts";
import type { ChatEvent } from "../messages.ts";
import type { PlacedItem } from "./placeholders.ts";
import { RowCache } from "./row-cache.ts";

export interface EncodeCall {
  signal: AbortSignal;
  emit(event: ChatEvent): void;
}

/** Shared by all conversations with one engine. */
export class Encoder {
  readonly #engine: TextEngine;
  readonly #cache: RowCache;
  /** Budgets for pictures that the engine can take. */
  readonly #details: readonly number[];

  constructor(engine: TextEngine, details: readonly number[], cache = new RowCache()) {
    this.#engine = engine;
    this.#details = details;
    this.#cache = cache;
  }

  /** Throws, before anything is encoded, where the bundle has no tower for an item, or the item is too large for it. */
  check(items: readonly PlacedItem[]): void {
    const { towerTokens, blockTokens } = this.#engine;
    for (const { item } of items) {
      const most = towerTokens[item.tower];
      if (most === undefined) throw new UsageError(`This bundle was exported without its ${item.tower} tower.`);
      const limit = item.tower === "image" ? Math.min(most, blockTokens ?? most) : most;
      if (item.tokens > limit) throw this.#tooLarge(item, limit);
    }
  }

  /** The rows of items, encoded where they are not kept yet. They may be disposed of once `trim` was called. */
  async rows(items: readonly PlacedItem[], call: EncodeCall): Promise<PlacedRows[]> {
    const placed: PlacedRows[] = [];
    const tell = encodingEvents(items.filter(({ item }) => !this.#cache.get(item.key)));
    for (const one of items) {
      const rows = this.#cache.get(one.item.key) ?? (await this.#encode(one, tell, call));
      placed.push({ position: one.position, rows, bidirectional: one.item.tower === "image" });
    }
    return placed;
  }

  /** Brings the kept rows back to their limit. */
  trim(): void {
    this.#cache.trim();
  }

  async #encode(
    placed: PlacedItem,
    tell: (placed: PlacedItem) => ChatEvent,
    { signal, emit }: EncodeCall,
  ): Promise<MediaRows> {
    const { item } = placed;
    throwIfAborted(signal);
    const tower = await this.#engine.tower(item.tower, {
      signal,
      onProgress: ({ stage, loaded, total }) => {
        if (stage !== "ready") emit({ type: "media", stage: "load", tower: item.tower, loaded, total });
      },
    });
    emit(tell(placed));
    const { arrays, rows } = await item.inputs(signal);
    throwIfAborted(signal);
    const encoded = await tower.encode(arrays, { tokens: item.tokens, rows });
    this.#cache.add(item.key, encoded);
    return encoded;
  }

  #tooLarge({ tower, tokens }: PlacedItem["item"], limit: number): ContextError {
    const what = tower === "image" ? "picture" : "sound";
    const fitting = this.#details.at(-1);
    const next =
      tower === "image" && fitting !== undefined
        ? `Choose less detail: ${fitting} tokens or fewer.`
        : "Cut it, or use a bundle that was exported for more.";
    return new ContextError(`A ${what} takes ${tokens} tokens, but this bundle takes ${limit} at once. ${next}`);
  }
}

/** Says of an item which of the media it belongs to, counted by kind, and which part of that it is. */
function encodingEvents(items: readonly PlacedItem[]): (placed: PlacedItem) => ChatEvent {
  return ({ medium, item }) => {
    const alike = [...new Set(items.map((one) => one.medium))].filter(({ kind }) => kind === medium.kind);
    return {
      type: "media",
      stage: "encode",
      kind: medium.kind,
      number: alike.indexOf(medium) + 1,
      of: alike.length,
      part: medium.items.indexOf(item) + 1,
      parts: medium.items.length,
    };
  };
}
