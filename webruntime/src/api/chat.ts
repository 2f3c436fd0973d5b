/** A conversation as a page sees it. */

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
import { given } from "./check.ts";
import { eventStream } from "./event-stream.ts";
import { checkSendOptions, checkThinking, contentRule, messagesRule } from "./options.ts";
import { Said } from "./said.ts";
import { Unanswered, type WorkerThread } from "./worker.ts";

type MaybeGiven<Options> = { [Name in keyof Options]?: Options[Name] | undefined };

/** Left out, sampling is as generation_config.json says, the seed a new one each time; maxTokens: until the context ends. */
export interface AnswerOptions extends MaybeGiven<Sampling> {
  maxTokens?: number | undefined;
}

export interface ChatOptions extends AnswerOptions {
  /** The system prompt. */
  system?: string | undefined;
  /** A conversation to go on with. */
  messages?: ChatMessage[] | undefined;
  /** Whether the model thinks before it answers; off unless told otherwise. */
  thinking?: boolean | undefined;
  /**
   * Takes control tokens that are spelled out in messages, such as `<turn|>`, for control tokens, as transformers does.
   * Only for texts that nobody else wrote. By default they are text.
   */
  trusted?: boolean | undefined;
}

export interface SendOptions extends AnswerOptions {
  /** Stops the answer; what was written stays in the conversation. */
  signal?: AbortSignal | undefined;
}

/** What an answer is made of, in order; the last part is "done", with all of it and how it ended. */
export type Part = ChatEvent | ({ type: "done" } & ChatResult);

export class Chat {
  readonly #worker: WorkerThread;
  readonly #session: Promise<number>;
  readonly #defaults: ReturnType<typeof given<AnswerOptions>>;
  readonly #system: string | undefined;
  /** The conversation, without the system prompt of the options, as the worker has it. */
  #messages: readonly ChatMessage[];
  /** The end of an answer that was not waited for: after that the worker is told what came of it here. */
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
    // The first call on the conversation tells what went wrong.
    this.#session.catch(() => undefined);
  }

  /**
   * Says `content`, words or words and media, and gives the parts of the answer as they come; without it the
   * conversation is answered as it is. Leaving the loop stops the answer, and so does the signal, be it now or later: the
   * last part then has the finish "abort"; where the GPU is lost while words come, "lost". What was written stays. After an
   * error the conversation is as it was.
   *
   * @throws ContextError when the conversation does not fit, MediaError for files that cannot be used, UsageError for
   *   options that are not known, values that cannot be, media that the bundle does not take, and while the conversation
   *   is being answered; DeviceError when the GPU is lost or too small. All are thrown by the first step of the loop.
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
    const said = new Said(emit);
    try {
      const request = { session: await this.#caughtUp(), ...asked };
      const { content } = asked;
      if (content !== undefined) this.#messages = [...before, { role: "user", content }];
      const question = this.#messages;
      const signal = stop.aborted ? firingNext() : stop;
      const onSilence = (seconds: number) => emit({ type: "stall", seconds });
      const answer = this.#worker.call("send", request, { signal, onEvent: (event) => said.take(event), onSilence });
      const result = await answer.catch((error: unknown) => this.#leftOff(error, said));
      this.#messages = [...question, ...messageOf(result)];
      emit({ type: "done", ...result });
    } catch (error) {
      this.#messages = before;
      throw error;
    }
  }

  /** What was said before the worker fell silent, or was ended. */
  #leftOff(error: unknown, said: Said): ChatResult {
    if (error instanceof Unanswered) {
      this.#late = error.late;
      return said.result("abort");
    }
    if (error instanceof LostError && said.anything) return said.result("lost");
    throw error;
  }

  /** The session, once it is where the conversation here is. */
  async #caughtUp(): Promise<number> {
    const session = await this.#session;
    if (!this.#late) return session;
    await this.#late.catch(() => undefined);
    this.#late = undefined;
    await this.#worker.call("setMessages", { session, messages: this.#withSystem(this.#messages) });
    return session;
  }

  /** The conversation so far, without the system prompt of the options. `setMessages` takes it back as it is. */
  async messages(): Promise<ChatMessage[]> {
    await this.#session;
    return [...this.#messages];
  }

  /**
   * Replaces the conversation, to edit it or to start anew; the system prompt of the options stays.
   *
   * @throws UsageError for messages that cannot be, and while the conversation is being answered
   */
  async setMessages(messages: ChatMessage[], thinking?: boolean): Promise<void> {
    messagesRule(messages, "messages");
    if (thinking !== undefined) checkThinking(thinking);
    const request = { session: await this.#caughtUp(), messages: this.#withSystem(messages) };
    await this.#worker.call("setMessages", thinking === undefined ? request : { ...request, thinking });
    this.#messages = [...messages];
  }

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

/** A signal that fires once the call is made: an answer that is stopped before it begins ends as any other does. */
function firingNext(): AbortSignal {
  const controller = new AbortController();
  queueMicrotask(() => controller.abort());
  return controller.signal;
}
