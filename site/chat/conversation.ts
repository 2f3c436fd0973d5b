/** A conversation with the loaded model: its messages, the current answer, and their display. */

import {
  AbortError,
  type AnswerOptions,
  type Chat,
  type ChatMessage,
  type Content,
  type Part,
  UsageError,
} from "../../webruntime/src/api/index.ts";
import type { GemtabChatDetails } from "./events.ts";
import { mediaNote, stallNote } from "./numbers.ts";
import { type AnswerView, Transcript } from "./transcript.ts";

type Done = Extract<Part, { type: "done" }>;

/** The functions that the element provides. */
export interface ConversationHost {
  /** Open a chat that continues from these messages. */
  open(messages: ChatMessage[]): Chat;
  /** Called when a question is asked, an answer ends, or another conversation is shown. */
  changed(): void;
  /** Dispatch an event of the element. */
  emit<Name extends "token" | "message" | "stop" | "error">(type: Name, detail: GemtabChatDetails[Name]): void;
  /** Return a short note about a finished answer. */
  noteOf(done: Done): string;
}

/** A question and its answer, until the answer ends. */
interface Turn {
  stopper: AbortController;
  view: AnswerView;
  /** Remove both from the display. */
  takeBack(): void;
  /** Whether the model was unloaded during the answer, so that the question has no answer. */
  dropped: boolean;
  /** Whether the chat must be opened again after this turn. */
  outdated: boolean;
}

/** A conversation: its messages, its chat, and its transcript. */
export class Conversation {
  readonly transcript = new Transcript();
  readonly #host: ConversationHost;
  #messages: readonly ChatMessage[] = [];
  #chat: Chat | undefined;
  #turn: Turn | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  /** Whether a notice says that the GPU does not respond. */
  #stalled = false;

  constructor(host: ConversationHost) {
    this.#host = host;
  }

  /** Whether the model is answering. */
  get answering(): boolean {
    return this.#turn !== undefined;
  }

  /** Resolves when the current answer has ended, with or without an error. */
  get ended(): Promise<unknown> {
    return this.#ended;
  }

  /** The messages so far. */
  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  /** Show another conversation. A current answer is stopped, and no further events report it. */
  set messages(messages: readonly ChatMessage[]) {
    this.#leaveTurn();
    this.#closeChat();
    this.#messages = [...messages];
    this.transcript.show(messages);
    this.#host.changed();
  }

  /** Whether the conversation has no messages. */
  get empty(): boolean {
    return this.#messages.length === 0 && !this.answering;
  }

  /**
   * Send `content`. Resolves when the answer has ended or another conversation has replaced this one. After an error
   * the conversation is unchanged.
   *
   * @param stopper stops the answer, as `stop` does; it may have fired before
   * @throws UsageError while the model is answering, AbortError when the model is unloaded
   */
  say(content: Content, options: AnswerOptions, stopper = new AbortController()): Promise<void> {
    const answered = this.#say(content, options, stopper);
    if (this.#turn?.stopper === stopper) this.#ended = answered.catch(() => undefined);
    return answered;
  }

  async #say(content: Content, options: AnswerOptions, stopper: AbortController): Promise<void> {
    if (this.#turn) throw new UsageError("The model is still answering. Stop it, or wait until the answer has ended.");
    const turn = this.#begin(content, stopper);
    try {
      this.#chat ??= this.#host.open([...this.#messages]);
      const done = await this.#answer(turn, this.#chat, content, options);
      if (done && this.#turn === turn) this.#report(done);
    } catch (error) {
      if (this.#turn === turn) {
        this.#reject(turn, error as Error);
        throw error;
      }
    } finally {
      this.#end(turn);
    }
    if (turn.dropped) throw new AbortError("The model was unloaded before it had answered.");
  }

  /** Stop the answer. The text so far stays. */
  stop(): void {
    this.#turn?.stopper.abort();
  }

  /** Apply another system prompt or `thinking`. A current answer is stopped. */
  renew(): void {
    this.stop();
    if (this.#turn) this.#turn.outdated = true;
    else this.#closeChat();
  }

  /** Leave a model that is being unloaded. A question that it was answering is removed. */
  leaveModel(): void {
    const turn = this.#turn;
    if (turn) turn.dropped = true;
    this.#leaveTurn();
    turn?.takeBack();
    this.#closeChat();
  }

  #begin(content: Content, stopper: AbortController): Turn {
    this.transcript.notice = "";
    const takeQuestion = this.transcript.addUser(content);
    this.#stalled = false;
    const { view, remove } = this.transcript.addAnswer();
    const takeBack = () => {
      remove();
      takeQuestion();
    };
    const turn = { stopper, view, takeBack, dropped: false, outdated: false };
    this.#turn = turn;
    this.#host.changed();
    return turn;
  }

  /** Return the last part of the answer, while the turn is the one on display. */
  async #answer(turn: Turn, chat: Chat, content: Content, options: AnswerOptions): Promise<Done | undefined> {
    let done: Done | undefined;
    for await (const part of chat.send(content, { ...options, signal: turn.stopper.signal })) {
      if (this.#turn !== turn) continue;
      this.#show(part, turn.view);
      if (part.type === "done") done = part;
    }
    if (this.#turn !== turn) return undefined;
    const messages = await chat.messages();
    if (this.#turn === turn) this.#messages = messages;
    return done;
  }

  #report(done: Done): void {
    this.#host.emit("message", done);
    if (done.finish === "abort") this.#host.emit("stop", done);
  }

  #end(turn: Turn): void {
    if (this.#turn !== turn) return;
    this.#turn = undefined;
    if (turn.outdated) this.#closeChat();
    this.#host.changed();
  }

  #leaveTurn(): void {
    this.stop();
    this.#turn = undefined;
  }

  /** Close the chat without waiting. A lost model has no chats. */
  #closeChat(): void {
    this.#chat?.dispose().catch(() => undefined);
    this.#chat = undefined;
  }

  #reject(turn: Turn, error: Error): void {
    turn.takeBack();
    this.transcript.notice = error.message;
    this.#host.emit("error", { error });
  }

  #cameBack(): void {
    if (this.#stalled) this.transcript.notice = "";
    this.#stalled = false;
  }

  #show(part: Part, view: AnswerView): void {
    if (part.type !== "stall") this.#cameBack();
    switch (part.type) {
      case "stall":
        this.#stalled = true;
        this.transcript.notice = stallNote(part.seconds);
        break;
      case "media":
        view.waitingFor(mediaNote(part));
        break;
      case "prompt":
        view.waitingFor(`Reading… ${part.done} of ${part.total} tokens`);
        break;
      case "thought":
      case "text":
        view[part.type](part.text);
        this.#host.emit("token", part);
        break;
      case "tool_call":
        view.toolCall(part);
        this.#host.emit("token", part);
        break;
      case "done":
        view.end(this.#host.noteOf(part));
    }
  }
}
