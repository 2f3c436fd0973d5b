/** The events of `<gemtab-chat>`, and the types of its listeners. */

import type { LoadProgress, ModelInfo, Part } from "../../webruntime/src/api/index.ts";

/** The states of the element. idle: no model is loaded; error: loading failed or the model was lost. */
export type ChatState = "idle" | "loading" | "ready" | "answering" | "error";

/** The data in `detail` of the element's events. The events do not bubble. */
export interface GemtabChatDetails {
  /** Progress of loading. */
  progress: LoadProgress;
  /** The model is loaded. */
  ready: ModelInfo;
  /** A part of the answer: text, a thought, or a function call. */
  token: Extract<Part, { type: "text" | "thought" | "tool_call" }>;
  /** An answer has ended. */
  message: Extract<Part, { type: "done" }>;
  /** An answer was stopped; `message` comes before it. */
  stop: Extract<Part, { type: "done" }>;
  /** A load or an answer failed, or the model was lost. */
  error: { error: Error };
  /** `state` has changed. */
  statechange: { state: ChatState };
}

/** The events by their names, as in `HTMLElementEventMap`. */
export type GemtabChatEventMap = Omit<HTMLElementEventMap, keyof GemtabChatDetails> & {
  [Name in keyof GemtabChatDetails]: CustomEvent<GemtabChatDetails[Name]>;
};

/** The base class: an HTMLElement whose listeners get the events above. */
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
