/** Encodes media as rows of embeddings. */

import type { MediaRows, PositionedRows, TextEngine } from "../engine/interface.ts";
import { ContextError, throwIfAborted, UsageError } from "../errors.ts";
import type { ChatEvent } from "../messages.ts";
import type { PromptItem } from "./placeholders.ts";
import { RowCache } from "./row-cache.ts";

/** The signal and the events of a call. */
export interface EncodeCall {
  signal: AbortSignal;
  emit(event: ChatEvent): void;
}

/** Encodes media for all conversations with one engine, and keeps the rows. */
export class Encoder {
  readonly #engine: TextEngine;
  readonly #cache: RowCache;
  /** The image budgets that the engine can take, in tokens. */
  readonly #details: readonly number[];

  constructor(engine: TextEngine, details: readonly number[], cache = new RowCache()) {
    this.#engine = engine;
    this.#details = details;
    this.#cache = cache;
  }

  /**
   * Check all items before any is encoded. Throws UsageError where the bundle has no tower for an item, and
   * ContextError where an item is too large for its tower.
   */
  check(items: readonly PromptItem[]): void {
    const { towerTokens, blockTokens } = this.#engine;
    for (const { item } of items) {
      const most = towerTokens[item.tower];
      if (most === undefined) throw new UsageError(`This bundle was exported without its ${item.tower} tower.`);
      const limit = item.tower === "image" ? Math.min(most, blockTokens ?? most) : most;
      if (item.tokens > limit) throw this.#tooLarge(item, limit);
    }
  }

  /** Return the rows of items; encode those that are not kept yet. Rows may be disposed of once `trim` is called. */
  async rows(items: readonly PromptItem[], call: EncodeCall): Promise<PositionedRows[]> {
    const positioned: PositionedRows[] = [];
    const eventOf = encodingEvents(items.filter(({ item }) => !this.#cache.get(item.key)));
    for (const one of items) {
      const rows = this.#cache.get(one.item.key) ?? (await this.#encode(one, eventOf, call));
      positioned.push({ position: one.position, rows, bidirectional: one.item.tower === "image" });
    }
    return positioned;
  }

  /** Reduce the kept rows to their limit. */
  trim(): void {
    this.#cache.trim();
  }

  async #encode(
    positioned: PromptItem,
    eventOf: (positioned: PromptItem) => ChatEvent,
    { signal, emit }: EncodeCall,
  ): Promise<MediaRows> {
    const { item } = positioned;
    throwIfAborted(signal);
    const tower = await this.#engine.tower(item.tower, {
      signal,
      onProgress: ({ stage, loaded, total }) => {
        if (stage !== "ready") emit({ type: "media", stage: "load", tower: item.tower, loaded, total });
      },
    });
    emit(eventOf(positioned));
    const { arrays, rows } = await item.inputs(signal);
    throwIfAborted(signal);
    const encoded = await tower.encode(arrays, { tokens: item.tokens, rows });
    this.#cache.add(item.key, encoded);
    return encoded;
  }

  #tooLarge({ tower, tokens }: PromptItem["item"], limit: number): ContextError {
    const what = tower === "image" ? "An image" : "Audio";
    const fitting = this.#details.at(-1);
    const next =
      tower === "image" && fitting !== undefined
        ? `Choose less detail: ${fitting} tokens or fewer.`
        : "Cut it, or use a bundle that was exported for more tokens.";
    return new ContextError(`${what} takes ${tokens} tokens, but this bundle takes ${limit} at once. ${next}`);
  }
}

/**
 * Return a function that gives the event of an item: the number of its medium among those of its kind, and the item's
 * number within the medium.
 */
function encodingEvents(items: readonly PromptItem[]): (positioned: PromptItem) => ChatEvent {
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
