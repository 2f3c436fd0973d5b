/** Collects the part of an answer that has reached the page. */

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

/** Emits the events of an answer, and keeps their text in case no result comes. */
export class AnswerSoFar {
  readonly #emit: (event: ChatEvent) => void;
  readonly #words = { text: "", thought: "" };
  readonly #toolCalls: ChatResult["toolCalls"] = [];
  /** Whether the answer has ended: later events are dropped. */
  #over = false;

  constructor(emit: (event: ChatEvent) => void) {
    this.#emit = emit;
  }

  /** Keep and emit an event. */
  take(event: ChatEvent): void {
    if (this.#over) return;
    if (event.type === "text" || event.type === "thought") this.#words[event.type] += event.text;
    if (event.type === "tool_call") this.#toolCalls.push({ name: event.name, arguments: event.arguments });
    this.#emit(event);
  }

  /** Whether any text, thought or call has come. */
  get anything(): boolean {
    return this.#words.text + this.#words.thought !== "" || this.#toolCalls.length > 0;
  }

  /** Return the answer so far. Its ids and statistics stayed in the worker. */
  result(finish: ChatResult["finish"]): ChatResult {
    this.#over = true;
    const { text, thought } = this.#words;
    return { ids: [], text, thought: thought.trim(), toolCalls: this.#toolCalls, finish, stats: NO_STATS };
  }
}
