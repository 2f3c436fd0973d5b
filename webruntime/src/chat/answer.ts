/** Takes what the model writes apart: its thoughts, its words, its calls of tools. */

import { FENCE, THOUGHT } from "../facts.gen.ts";
import { Detokenizer } from "../input/detokenizer.ts";
import { strip } from "../input/jinja/text.ts";
import type { Tokenizer } from "../input/tokenizer.ts";
import type { ToolCall } from "../messages.ts";

export type AnswerPart =
  | { type: "thought"; text: string }
  | { type: "text"; text: string }
  | ({ type: "tool_call" } & ToolCall);

/** channel: the name of a channel, up to its line's end; call: a tool call, up to its closing token. */
type State = "text" | "channel" | "thought" | "call";

/** The rest of a call, when the white space around it is gone. */
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
  /** How many of the fences that are held are tokens. */
  #fences = 0;

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
    this.#detokenizer = new Detokenizer(tokenizer);
  }

  /** The parts that `id` adds or completes. */
  push(id: number): AnswerPart[] {
    const piece = this.#tokenizer.piece(id);
    if (piece.kind !== "special") return this.#take(this.#detokenizer.push(id));
    return this.#mark(piece.text);
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
    this.#state = strip(name) === THOUGHT ? "thought" : "text";
    this.#held = "";
    return this.#take(rest);
  }

  #mark(token: string): AnswerPart[] {
    if (token === "<|channel>") return this.#enter("channel");
    if (token === "<|tool_call>") return this.#enter("call");
    if (token === "<channel|>" || token === "<tool_call|>") return this.#enter("text");
    // Any other token is not for reading: in a call, where strings are fenced, it ends the call.
    if (this.#state !== "call") return [];
    if (token !== FENCE) return this.#enter("text");
    this.#held += this.#detokenizer.end() + token;
    this.#fences += 1;
    return [];
  }

  #enter(state: State): AnswerPart[] {
    const parts = [...this.#take(this.#detokenizer.end()), ...this.#close()];
    this.#state = state;
    return parts;
  }

  /**
   * A call that is not whole, or not written as calls are, is text as it was written; so is one with fences of ordinary
   * tokens, and what a channel holds without a name.
   */
  #close(): AnswerPart[] {
    const held = this.#held;
    const state = this.#state;
    const spelled = held.split(FENCE).length - 1 !== this.#fences;
    this.#held = "";
    this.#state = "text";
    this.#fences = 0;
    if (held === "" || (state === "channel" && THOUGHT.startsWith(strip(held)))) return [];
    const [, written = "", args = ""] = (state === "call" && !spelled && CALL.exec(strip(held))) || [];
    const name = strip(written);
    return name === "" ? [{ type: "text", text: held }] : [{ type: "tool_call", name, arguments: args }];
  }
}
