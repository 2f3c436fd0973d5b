/** Splits the model's output into thoughts, text and tool calls. */

import { FENCE, THOUGHT } from "../facts.gen.ts";
import { Detokenizer } from "../input/detokenizer.ts";
import { strip } from "../input/jinja/text.ts";
import type { Tokenizer } from "../input/tokenizer.ts";
import type { ToolCall } from "../messages.ts";

/** A part of an answer. */
export type AnswerPart =
  | { type: "thought"; text: string }
  | { type: "text"; text: string }
  | ({ type: "tool_call" } & ToolCall);

/**
 * channel: inside a channel's name, which ends at the line's end; call: inside a tool call, which ends at its closing
 * token.
 */
type State = "text" | "channel" | "thought" | "call";

/** A call's text, after white space around it is removed. */
const CALL = /^call:([^{]+)\{(.*)\}$/s;

/**
 * Parses Gemma 4's answer format: `<|channel>thought
 *  … <channel|>`, then text, and `<|tool_call>call:name{…}<tool_call|>`. Only special tokens count as markers: the same
 * characters spelled by ordinary tokens are text.
 */
export class AnswerParser {
  readonly #tokenizer: Tokenizer;
  readonly #detokenizer: Detokenizer;
  #state: State = "text";
  /** The characters of an incomplete channel name or call. */
  #held = "";
  /** The number of fences in `#held` that are tokens. */
  #fences = 0;

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
    this.#detokenizer = new Detokenizer(tokenizer);
  }

  /** Return the parts that `id` adds or completes. */
  push(id: number): AnswerPart[] {
    const piece = this.#tokenizer.piece(id);
    if (piece.kind !== "special") return this.#take(this.#detokenizer.push(id));
    return this.#mark(piece.text);
  }

  /** Return the remaining parts when the answer ends, complete or not. */
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
    // Any other token is not shown. In a call, whose strings are fenced, the token ends the call.
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
   * Return an incomplete or malformed call as text, exactly as the model wrote it. The same applies to a call with
   * fences of ordinary tokens, and to a channel without a name.
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
