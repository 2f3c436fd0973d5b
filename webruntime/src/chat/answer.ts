/** Takes what the model writes apart: its thoughts, its words, its calls of tools. */

import { Detokenizer } from "../input/detokenizer.ts";
import type { Tokenizer } from "../input/tokenizer.ts";
import type { ToolCall } from "../worker/protocol.ts";

export type AnswerPart =
  | { type: "thought"; text: string }
  | { type: "text"; text: string }
  | ({ type: "tool_call" } & ToolCall);

/** channel: the name of a channel, up to its line's end; call: a tool call, up to its closing token. */
type State = "text" | "channel" | "thought" | "call";

const CALL = /^call:([^{]+)\{(.*)\}$/s;

/**
 * Gemma 4's wire format: `<|channel>thought\n … <channel|>`, then words, and `<|tool_call>call:name{…}<tool_call|>`.
 * Only the special tokens count: the same characters spelled by ordinary tokens are text.
 */
export class AnswerParser {
  readonly #tokenizer: Tokenizer;
  readonly #detokenizer: Detokenizer;
  #state: State = "text";
  /** Characters of a channel's name or of a call, kept until it is complete. */
  #held = "";

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
    this.#detokenizer = new Detokenizer(tokenizer);
  }

  /** The parts that `id` adds or completes. */
  push(id: number): AnswerPart[] {
    const piece = this.#tokenizer.piece(id);
    if (piece.kind !== "special") return this.#take(this.#detokenizer.push(id));
    return [...this.#take(this.#detokenizer.end()), ...this.#mark(piece.text)];
  }

  /** What is left when the answer ends, be it in the middle of something. */
  end(): AnswerPart[] {
    return [...this.#take(this.#detokenizer.end()), ...this.#close()];
  }

  #take(text: string): AnswerPart[] {
    if (text === "") return [];
    if (this.#state === "text" || this.#state === "thought") return [{ type: this.#state, text }];
    this.#held += text;
    if (this.#state === "call") return [];
    const end = this.#held.indexOf("\n");
    return end < 0 ? [] : this.#nameChannel(this.#held.slice(0, end), this.#held.slice(end + 1));
  }

  #nameChannel(name: string, rest: string): AnswerPart[] {
    this.#state = name.trim() === "thought" ? "thought" : "text";
    this.#held = "";
    return this.#take(rest);
  }

  #mark(token: string): AnswerPart[] {
    switch (token) {
      case "<|channel>":
        return this.#enter("channel");
      case "<|tool_call>":
        return this.#enter("call");
      case "<channel|>":
      case "<tool_call|>":
        return this.#enter("text");
      default:
        // A string's fence, <|"|>, belongs to a call's arguments; any other token is not for reading.
        if (this.#state === "call") this.#held += token;
        return [];
    }
  }

  #enter(state: State): AnswerPart[] {
    const parts = this.#close();
    this.#state = state;
    return parts;
  }

  #close(): AnswerPart[] {
    const held = this.#held;
    const state = this.#state;
    this.#held = "";
    this.#state = "text";
    if (state !== "call" || held === "") return [];
    const [, name, args] = CALL.exec(held.trim()) ?? [];
    if (name === undefined || args === undefined) return [{ type: "text", text: held }];
    return [{ type: "tool_call", name: name.trim(), arguments: args }];
  }
}
