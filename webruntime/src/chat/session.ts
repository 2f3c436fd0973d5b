/** A conversation with a model. */

import type { TextEngine } from "../engine/interface.ts";
import { ContextError, hasCode, LostError, throwIfAborted, UsageError } from "../errors.ts";
import type { ChatTemplate, TemplateMessage, Written } from "../input/chat-template.ts";
import type { Medium } from "../input/medium.ts";
import type { ControlTokens } from "../input/spoken.ts";
import type { Tokenizer } from "../input/tokenizer.ts";
import { type ChatEvent, type ChatMessage, type ChatResult, messageOf, type Sampling } from "../messages.ts";
import { AnswerParser } from "./answer.ts";
import { ConversationMedia, type ReadMedium } from "./conversation-media.ts";
import type { EncodeCall, Encoder } from "./encoder.ts";
import type { GenerationConfig } from "./generation-config.ts";
import type { ChatSession, SendOptions, SessionOptions } from "./interface.ts";
import { keysOf, type Placeholders, type PromptWithMedia } from "./placeholders.ts";
import { commonPrefix, type PromptCache } from "./prompt-cache.ts";
import { Stopwatch } from "./stopwatch.ts";
import type { InTurn } from "./turns.ts";

/** The parts that all conversations with one model share. */
export interface ChatParts {
  engine: TextEngine;
  cache: PromptCache;
  tokenizer: Tokenizer;
  /** The maximum UTF-16 units of a prompt. No context can hold a longer one. */
  maxText: number;
  template: ChatTemplate;
  /** Tokens that the text of messages never becomes. */
  control: ControlTokens;
  placeholders: Placeholders;
  encoder: Encoder;
  /** Reads media. The first call loads the code for it. */
  readMedium: ReadMedium;
  generation: GenerationConfig;
  /** Runs a task when the engine is free: conversations take turns. */
  exclusively: InTurn;
}

/** stable: the length of the prefix that the next turn's prompt is expected to share. */
interface Prompt extends PromptWithMedia {
  stable: number;
}

/** A conversation, on parts that it shares with others. */
export class Session implements ChatSession {
  readonly #parts: ChatParts;
  readonly #media: ConversationMedia;
  #messages: ChatMessage[];
  #thinking: boolean;
  readonly #trusted: boolean;
  #answering = false;

  constructor(parts: ChatParts, options: SessionOptions) {
    this.#parts = parts;
    this.#media = new ConversationMedia(parts.readMedium);
    this.#messages = [...(options.messages ?? [])];
    this.#thinking = options.thinking ?? false;
    this.#trusted = options.trusted ?? false;
  }

  /** The messages so far. */
  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  /** Replace the messages. Throws UsageError while the model is answering. */
  setMessages(messages: ChatMessage[], thinking = this.#thinking): void {
    this.#rejectWhileAnswering();
    this.#messages = [...messages];
    this.#thinking = thinking;
    this.#media.keepOnly(messages);
  }

  /**
   * Add `content` to the conversation and answer it. If the answer is stopped or the GPU is lost, the text so far stays
   * in the conversation. After any other error, the conversation is unchanged.
   */
  async send(options: SendOptions, call: EncodeCall): Promise<ChatResult> {
    this.#rejectWhileAnswering();
    const before = this.#messages;
    const { content } = options;
    if (content !== undefined) this.#messages = [...before, { role: "user", content }];
    this.#answering = true;
    try {
      const answering = this.#parts.exclusively(() => this.#answer(options, call), call.signal);
      const result = await answering.catch(stopped);
      this.#keep(result);
      return result;
    } catch (error) {
      this.#messages = before;
      throw error;
    } finally {
      this.#answering = false;
      this.#media.keepOnly(this.#messages);
    }
  }

  /** Release the conversation's media. */
  dispose(): void {
    this.#messages = [];
    this.#media.keepOnly([]);
  }

  async #answer(options: SendOptions, call: EncodeCall): Promise<ChatResult> {
    const { engine, cache } = this.#parts;
    const { signal, emit } = call;
    const watch = new Stopwatch();
    const answer = new Answer(this.#parts, emit);
    let length = 0;
    let reused = 0;
    let finish: ChatResult["finish"] = "length";
    engine.stalled = (seconds) => emit({ type: "stall", seconds });
    try {
      throwIfAborted(signal);
      const prompt = await this.#prompt(call);
      length = prompt.ids.length;
      engine.setSampling(this.#sampling(options.sampling));
      await this.#fill(prompt, call, (event) => {
        reused = event.reused;
        emit(event);
      });
      for await (const id of cache.decode(prompt, { signal, maxTokens: options.maxTokens })) {
        watch.id();
        answer.ids.push(id);
        if (this.#parts.generation.stop.has(id)) {
          finish = "stop";
          break;
        }
        answer.push(id);
      }
      const { maxTokens = Number.POSITIVE_INFINITY } = options;
      const allowed = answer.ids.length < maxTokens && engine.position < engine.context;
      if (finish === "length" && allowed) finish = "memory";
    } catch (error) {
      const gone = error instanceof LostError && answer.anything;
      if (!gone && !hasCode(error, "AbortError")) throw error;
      finish = gone ? "lost" : "abort";
    } finally {
      engine.stalled = undefined;
    }
    answer.end();
    const stats = watch.stats(length, reused, engine.position);
    const { text, thought, toolCalls } = answer;
    return { ids: answer.ids, text, thought: thought.trim(), toolCalls, finish, stats };
  }

  /** Fill the caches with the prompt. Then release its decoded media, and the rows beyond their limit. */
  async #fill(prompt: Prompt, call: EncodeCall, emit: (event: PromptEvent) => void): Promise<void> {
    const { cache, encoder } = this.#parts;
    const total = prompt.ids.length;
    try {
      await cache.fill(prompt, prompt.stable, {
        signal: call.signal,
        encode: (items) => encoder.rows(items, call),
        onProgress: (done, reused) => emit({ type: "prompt", reused, done, total }),
      });
    } finally {
      encoder.trim();
      this.#media.release();
    }
  }

  /** Render the prompt. Throws, before anything is encoded, where the conversation cannot be answered. */
  async #prompt(call: EncodeCall): Promise<Prompt> {
    const { engine, encoder, placeholders } = this.#parts;
    const media = await this.#media.read(this.#messages, call);
    const { text, cut } = this.#render(this.#messages, true);
    const prompt = placeholders.prompt(text, media, cut);
    encoder.check(prompt.items);
    const { length } = prompt.ids;
    if (length >= engine.context) {
      throw new ContextError(
        `The conversation is ${length} tokens long, but the context holds ${engine.context}, the answer included. ` +
          "Shorten the message, attach fewer files or choose less detail, start a new conversation, or load the model with a " +
          "larger context.",
      );
    }
    return { ...prompt, stable: Math.min(this.#stablePrefix(prompt, media), length - 1) };
  }

  /**
   * Return the length of the prefix that the next turn's prompt will share. The template changes earlier turns when it
   * renders them again: the empty thought block that opens an answer disappears. Therefore the template renders an
   * answered turn here.
   */
  #stablePrefix(prompt: PromptWithMedia, media: readonly Medium[]): number {
    const { text, cut } = this.#render([...this.#messages, { role: "assistant", content: "…" }], false);
    return commonPrefix(keysOf(prompt), keysOf(this.#parts.placeholders.prompt(text, media, cut)));
  }

  #render(messages: readonly ChatMessage[], addGenerationPrompt: boolean): Written {
    const { template, control } = this.#parts;
    const options = { thinking: this.#thinking, addGenerationPrompt, most: this.#parts.maxText };
    const said = messages.map(templateMessage);
    return template.write(said, options, control, this.#trusted);
  }

  #sampling(chosen: Partial<Sampling> = {}): Sampling {
    const [seed = 0] = crypto.getRandomValues(new Uint32Array(1));
    return { ...this.#parts.generation.sampling, seed, ...chosen };
  }

  #keep(result: ChatResult): void {
    this.#messages = [...this.#messages, ...messageOf(result)];
  }

  #rejectWhileAnswering(): void {
    if (this.#answering) throw new UsageError("The model is still answering. Stop it or wait for it first.");
  }
}

type PromptEvent = Extract<ChatEvent, { type: "prompt" }>;

/** Return the result of an answer that was stopped while the engine answered another conversation. */
function stopped(error: unknown): ChatResult {
  if (!hasCode(error, "AbortError")) throw error;
  return { ids: [], text: "", thought: "", toolCalls: [], finish: "abort", stats: new Stopwatch().stats(0, 0, 0) };
}

/** Collects an answer, and emits its parts as they come. */
class Answer {
  readonly ids: number[] = [];
  text = "";
  thought = "";
  readonly toolCalls: ChatResult["toolCalls"] = [];
  readonly #parser: AnswerParser;
  readonly #emit: (event: ChatEvent) => void;

  constructor({ tokenizer }: ChatParts, emit: (event: ChatEvent) => void) {
    this.#parser = new AnswerParser(tokenizer);
    this.#emit = emit;
  }

  /** Whether a part was emitted. */
  get anything(): boolean {
    return this.text + this.thought !== "" || this.toolCalls.length > 0;
  }

  push(id: number): void {
    this.#take(this.#parser.push(id));
  }

  end(): void {
    this.#take(this.#parser.end());
  }

  #take(parts: ReturnType<AnswerParser["push"]>): void {
    for (const part of parts) {
      if (part.type === "tool_call") this.toolCalls.push({ name: part.name, arguments: part.arguments });
      else this[part.type] += part.text;
      this.#emit(part);
    }
  }
}

/** Return a message with the names that templates use. */
function templateMessage({ role, content: said, toolCalls = [] }: ChatMessage): TemplateMessage {
  // The template sees only that media are present.
  const content =
    typeof said === "string" ? said : said.map((part) => (part.type === "text" ? part : { type: part.type }));
  if (toolCalls.length === 0) return { role, content };
  return { role, content, tool_calls: toolCalls.map((call) => ({ type: "function", function: { ...call } })) };
}
