/** The events of `<gemtab-chat>`, and the element's methods that know them. */

import type { LoadProgress, ModelInfo, Part } from "../../webruntime/src/api/index.ts";

export type ChatState = "idle" | "loading" | "ready" | "answering" | "error";

/** What the element tells in `detail` of its events. They do not bubble. */
export interface GemtabChatDetails {
  /** How far a load is. */
  progress: LoadProgress;
  /** The model can be spoken to. */
  ready: ModelInfo;
  /** A part of the answer: words, thoughts, a call of a tool. */
  token: Extract<Part, { type: "text" | "thought" | "tool_call" }>;
  /** An answer has ended. */
  message: Extract<Part, { type: "done" }>;
  /** An answer was stopped; `message` comes before it. */
  stop: Extract<Part, { type: "done" }>;
  /** A load or an answer failed, or the model was lost. */
  error: { error: Error };
  /** `state` has another value. */
  statechange: { state: ChatState };
}

/** Events by their names, as `HTMLElementEventMap` has them. */
export type GemtabChatEventMap = Omit<HTMLElementEventMap, keyof GemtabChatDetails> & {
  [Name in keyof GemtabChatDetails]: CustomEvent<GemtabChatDetails[Name]>;
};

/** What the class extends: HTMLElement, whose listeners are given the events above. */
export interface ListenedElement extends HTMLElement {
  addEventListener<Name extends keyof GemtabChatEventMap>(
    type: Name,
    listener: (this: this, event: GemtabChatEventMap[Name]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<Name extends keyof GemtabChatEventMap>(
    type: Name,
    listener: (this: this, event: GemtabChatEventMap[Name]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}
