/** What came of an answer so far, as the page saw it. */

import type { ChatEvent, ChatResult } from "../messages.ts";

const NO_STATS: ChatResult["stats"] = {
  promptTokens: 0,
  reusedTokens: 0,
  answerTokens: 0,
  firstTokenSeconds: 0,
  promptTokensPerSecond: 0,
  tokensPerSecond: 0,
  contextUsed: 0,
};

/** Passes the events of an answer on, and keeps what was said for the case that no result comes. */
export class Said {
  readonly #emit: (event: ChatEvent) => void;
  readonly #words = { text: "", thought: "" };
  readonly #toolCalls: ChatResult["toolCalls"] = [];
  /** Nothing is passed on behind the end. */
  #over = false;

  constructor(emit: (event: ChatEvent) => void) {
    this.#emit = emit;
  }

  take(event: ChatEvent): void {
    if (this.#over) return;
    if (event.type === "text" || event.type === "thought") this.#words[event.type] += event.text;
    if (event.type === "tool_call") this.#toolCalls.push({ name: event.name, arguments: event.arguments });
    this.#emit(event);
  }

  get anything(): boolean {
    return this.#words.text + this.#words.thought !== "" || this.#toolCalls.length > 0;
  }

  /** The answer as far as it came; ids and numbers stayed in the worker. */
  result(finish: ChatResult["finish"]): ChatResult {
    this.#over = true;
    const { text, thought } = this.#words;
    return { ids: [], text, thought: thought.trim(), toolCalls: this.#toolCalls, finish, stats: NO_STATS };
  }
}
