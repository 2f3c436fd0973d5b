/** A conversation with the loaded model: its messages, the answer that is under way, and what is shown of both. */

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

export interface ConversationHost {
  /** Opens a chat that goes on with these messages. */
  open(messages: ChatMessage[]): Chat;
  /** A question, and the end of its answer; also that another conversation is shown. */
  changed(): void;
  emit<Name extends "token" | "message" | "stop" | "error">(type: Name, detail: GemtabChatDetails[Name]): void;
  /** How an answer went, in small print. */
  noteOf(done: Done): string;
}

/** A question and its answer, while that is under way. */
interface Turn {
  stopper: AbortController;
  view: AnswerView;
  /** Takes both out of what is shown. */
  takeBack(): void;
  /** Whether the model is given back while it answers, so that the question is not answered. */
  dropped: boolean;
  /** Whether the chat is to be opened anew after this turn. */
  outdated: boolean;
}

export class Conversation {
  readonly transcript = new Transcript();
  readonly #host: ConversationHost;
  #messages: readonly ChatMessage[] = [];
  #chat: Chat | undefined;
  #turn: Turn | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  /** Whether it is shown that the GPU does not come back. */
  #stalled = false;

  constructor(host: ConversationHost) {
    this.#host = host;
  }

  get answering(): boolean {
    return this.#turn !== undefined;
  }

  /** Resolves when the answer that is under way has ended, one way or the other. */
  get ended(): Promise<unknown> {
    return this.#ended;
  }

  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  /** Another conversation. An answer to the one before is stopped, and is neither shown nor told of any more. */
  set messages(messages: readonly ChatMessage[]) {
    this.#leaveTurn();
    this.#closeChat();
    this.#messages = [...messages];
    this.transcript.show(messages);
    this.#host.changed();
  }

  /** Nothing was said yet. */
  get empty(): boolean {
    return this.#messages.length === 0 && !this.answering;
  }

  /**
   * Says `content`; resolves when the answer has ended, or another conversation has taken its place. After an error the
   * conversation is as it was.
   *
   * @param stopper stops the answer, as `stop` does; may have done so before
   * @throws UsageError while the model is answering, AbortError when the model is given back
   */
  say(content: Content, options: AnswerOptions, stopper = new AbortController()): Promise<void> {
    const said = this.#say(content, options, stopper);
    if (this.#turn?.stopper === stopper) this.#ended = said.catch(() => undefined);
    return said;
  }

  async #say(content: Content, options: AnswerOptions, stopper: AbortController): Promise<void> {
    if (this.#turn) throw new UsageError("The model is still answering. Stop it, or wait until the answer has ended.");
    const turn = this.#begin(content, stopper);
    try {
      this.#chat ??= this.#host.open([...this.#messages]);
      const done = await this.#answer(turn, this.#chat, content, options);
      if (done && this.#turn === turn) this.#told(done);
    } catch (error) {
      if (this.#turn === turn) {
        this.#refuse(turn, error as Error);
        throw error;
      }
    } finally {
      this.#end(turn);
    }
    if (turn.dropped) throw new AbortError("The model was given back before it had answered.");
  }

  /** Stops the answer; what was written stays. */
  stop(): void {
    this.#turn?.stopper.abort();
  }

  /** The system prompt, or whether the model thinks, is another: an answer that is under way is stopped. */
  renew(): void {
    this.stop();
    if (this.#turn) this.#turn.outdated = true;
    else this.#closeChat();
  }

  /** The model goes: a question that it was answering is taken back. */
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

  /** The last part of the answer, as long as the turn is the one that is shown. */
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

  #told(done: Done): void {
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

  /** Closing waits for nothing; a model that is gone has no chats. */
  #closeChat(): void {
    this.#chat?.dispose().catch(() => undefined);
    this.#chat = undefined;
  }

  #refuse(turn: Turn, error: Error): void {
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
