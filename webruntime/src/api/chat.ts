/** The page's interface to a conversation. */

import { LostError, UsageError } from "../errors.ts";
import {
  type ChatEvent,
  type ChatMessage,
  type ChatResult,
  type Content,
  messageOf,
  type Sampling,
} from "../messages.ts";
import type { SendRequest, SessionRequest } from "../worker/protocol.ts";
import { AnswerSoFar } from "./answer-so-far.ts";
import { given } from "./check.ts";
import { eventStream } from "./event-stream.ts";
import { checkSendOptions, checkThinking, contentRule, messagesRule } from "./options.ts";
import { Unanswered, type WorkerThread } from "./worker.ts";

type MaybeGiven<Options> = { [Name in keyof Options]?: Options[Name] | undefined };

/** The options of an answer. Default: sampling as in generation_config.json, with a new random seed for each answer. */
export interface AnswerOptions extends MaybeGiven<Sampling> {
  /** The maximum number of tokens of the answer. Default: until the context is full. */
  maxTokens?: number | undefined;
}

/** The options of a conversation, and the defaults for its answers. */
export interface ChatOptions extends AnswerOptions {
  /** The system prompt. Default: none. */
  system?: string | undefined;
  /** Messages to continue from. Default: none. */
  messages?: ChatMessage[] | undefined;
  /** Whether the model thinks before it answers. Default: false. */
  thinking?: boolean | undefined;
  /**
   * Whether control tokens spelled out in messages, such as `<turn|>`, are control tokens, as in transformers. Use this
   * only for texts that you wrote yourself. Default: false; they are text.
   */
  trusted?: boolean | undefined;
}

/** The options of one answer. */
export interface SendOptions extends AnswerOptions {
  /** Stops the answer. The text so far stays in the conversation. */
  signal?: AbortSignal | undefined;
}

/**
 * A part of an answer. The parts come in order; the last one is "done", with the complete answer and the reason of its
 * end.
 */
export type Part = ChatEvent | ({ type: "done" } & ChatResult);

/** A conversation with a loaded model. `Gemma.chat` opens one. */
export class Chat {
  readonly #worker: WorkerThread;
  readonly #session: Promise<number>;
  readonly #defaults: ReturnType<typeof given<AnswerOptions>>;
  readonly #system: string | undefined;
  /** The worker's conversation, without the system prompt of the options. */
  #messages: readonly ChatMessage[];
  /** The end of an answer that the page did not wait for. After it, the worker gets the page's conversation. */
  #late: Promise<unknown> | undefined;

  constructor(worker: WorkerThread, model: number, options: ChatOptions) {
    const { system, messages = [], thinking, trusted, ...defaults } = given(options);
    this.#worker = worker;
    this.#defaults = defaults;
    this.#system = system;
    this.#messages = [...messages];
    const request: SessionRequest = { model, messages: this.#withSystem(messages) };
    if (thinking !== undefined) request.thinking = thinking;
    if (trusted !== undefined) request.trusted = trusted;
    this.#session = worker.call("openSession", request).then(({ session }) => session);
    // The first call on the conversation reports the error.
    this.#session.catch(() => undefined);
  }

  /**
   * Send `content` and yield the parts of the answer as they come. Without `content`, the model answers the
   * conversation as it is. Leaving the loop stops the answer, and so does the signal at any time: the last part then
   * has the finish "abort". If the GPU is lost during the answer, the finish is "lost". The text so far stays in the
   * conversation. After an error the conversation is unchanged.
   *
   * All errors are thrown by the first step of the loop.
   *
   * @param content text, or text and media
   * @param options defaults to the options of the conversation
   * @throws ContextError where the conversation does not fit into the context
   * @throws MediaError for a file that cannot be used
   * @throws UsageError for unknown options, invalid values, and media that the bundle does not take; also while the
   * model is answering this conversation
   * @throws DeviceError where the GPU is lost or has too little memory
   */
  async *send(content?: Content, options: SendOptions = {}): AsyncGenerator<Part, void, void> {
    if (content !== undefined) contentRule(content, "content");
    checkSendOptions(options);
    const { signal, maxTokens, ...sampling } = { ...this.#defaults, ...given(options) };
    const asked = {
      sampling,
      ...(content !== undefined && { content }),
      ...(maxTokens !== undefined && { maxTokens }),
    };
    yield* eventStream<Part>(signal, (emit, stop) => this.#answer(asked, emit, stop));
  }

  async #answer(asked: Omit<SendRequest, "session">, emit: (part: Part) => void, stop: AbortSignal): Promise<void> {
    const before = this.#messages;
    const answerSoFar = new AnswerSoFar(emit);
    try {
      const request = { session: await this.#caughtUp(), ...asked };
      const { content } = asked;
      if (content !== undefined) this.#messages = [...before, { role: "user", content }];
      const question = this.#messages;
      const signal = stop.aborted ? firingNext() : stop;
      const onSilence = (seconds: number) => emit({ type: "stall", seconds });
      const answer = this.#worker.call("send", request, {
        signal,
        onEvent: (event) => answerSoFar.take(event),
        onSilence,
      });
      const result = await answer.catch((error: unknown) => this.#leftOff(error, answerSoFar));
      this.#messages = [...question, ...messageOf(result)];
      emit({ type: "done", ...result });
    } catch (error) {
      this.#messages = before;
      throw error;
    }
  }

  /** Return the text that came before the worker stopped responding or was ended. */
  #leftOff(error: unknown, answerSoFar: AnswerSoFar): ChatResult {
    if (error instanceof Unanswered) {
      this.#late = error.late;
      return answerSoFar.result("abort");
    }
    if (error instanceof LostError && answerSoFar.anything) return answerSoFar.result("lost");
    throw error;
  }

  /** Return the session after it has the page's conversation. */
  async #caughtUp(): Promise<number> {
    const session = await this.#session;
    if (!this.#late) return session;
    await this.#late.catch(() => undefined);
    this.#late = undefined;
    await this.#worker.call("setMessages", { session, messages: this.#withSystem(this.#messages) });
    return session;
  }

  /** Return the conversation so far, without the system prompt of the options. `setMessages` takes it back as it is. */
  async messages(): Promise<ChatMessage[]> {
    await this.#session;
    return [...this.#messages];
  }

  /**
   * Replace the conversation, to edit it or to start a new one. The system prompt of the options stays.
   *
   * @param thinking whether the model thinks before it answers; default: as before
   * @throws UsageError for invalid messages, and while the model is answering this conversation
   */
  async setMessages(messages: ChatMessage[], thinking?: boolean): Promise<void> {
    messagesRule(messages, "messages");
    if (thinking !== undefined) checkThinking(thinking);
    const request = { session: await this.#caughtUp(), messages: this.#withSystem(messages) };
    await this.#worker.call("setMessages", thinking === undefined ? request : { ...request, thinking });
    this.#messages = [...messages];
  }

  /** Close the conversation. The model stays loaded. */
  async dispose(): Promise<void> {
    await this.#worker.call("closeSession", { session: await this.#session });
  }

  #withSystem(messages: readonly ChatMessage[]): ChatMessage[] {
    if (this.#system === undefined) return [...messages];
    if (messages.some(({ role }) => role === "system")) {
      throw new UsageError("There are two system prompts: `system`, and one among `messages`. Leave one of them out.");
    }
    return [{ role: "system", content: this.#system }, ...messages];
  }
}

/**
 * Return a signal that fires after the call is made: an answer that is stopped before it begins ends like any other.
 */
function firingNext(): AbortSignal {
  const controller = new AbortController();
  queueMicrotask(() => controller.abort());
  return controller.signal;
}
