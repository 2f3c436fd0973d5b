/** `<gemtab-chat src="bundles/tiny/">`: a conversation with a bundle, anywhere on a page. */

import {
  AbortError,
  type AnswerOptions,
  type Chat,
  type ChatMessage,
  type Content,
  type ContentPart,
  Gemma,
  type LoadProgress,
  preview,
  UsageError,
} from "../../webruntime/src/api/index.ts";
import type { Attachment, Kind } from "./attachments.ts";
import { Attributes, takeEarlyProperties } from "./attributes.ts";
import css from "./chat.css?inline";
import { checkAnswerOptions, checkContent, checkExamples, checkMessages, checkReveal } from "./checks.ts";
import { Composer, type Draft } from "./composer.ts";
import { Conversation } from "./conversation.ts";
import { make } from "./dom.ts";
import type { ChatState, GemtabChatDetails } from "./events.ts";
import { type Example, Examples } from "./examples.ts";
import { Gate } from "./gate.ts";
import { MediaChoices, type MediaOptions } from "./media-choices.ts";
import { answerNote, gpuName } from "./numbers.ts";

/** The milliseconds within which an element that was removed from the document may return as if it had been moved. */
const GRACE_MS = 1000;

/** The properties that pages may set before this script is loaded. */
const PROPERTIES = [
  "src",
  "assets",
  "reveal",
  "plan",
  "system",
  "thinking",
  "options",
  "messages",
  "examples",
] as const satisfies (keyof GemtabChat)[];

/**
 * A conversation with a model as an element.
 *
 * Attributes: `src`, the bundle's folder; `assets`, the folder of gemtab's own scripts (see LoadOptions); `reveal`,
 * "interaction" (load on a click, the default) or "auto" (load when visible); `system`, a system prompt; `thinking`,
 * let the model think before it answers; `plan`, "f16" or "f32" (see LoadOptions). Properties of the same names mirror
 * the attributes; null removes an attribute. Properties that a page sets before this script is loaded are applied.
 *
 * Events: `progress`, `ready`, `token`, `message`, `stop`, `error`, `statechange`. They do not bubble; `detail` has
 * their data. Colours are light or dark by the element's `color-scheme`.
 *
 * The element may be moved within the document. An element that is removed for more than a second unloads its model.
 */
export class GemtabChat extends Attributes {
  readonly #gate = new Gate({ load: () => this.#try(this.load()), cancel: () => this.#cancel() });
  readonly #composer = new Composer({ send: (draft) => this.#try(this.#say(draft)), stop: () => this.stop() });
  readonly #choices = new MediaChoices();
  readonly #examples = new Examples({
    choose: (draft) => this.#try(this.#say(draft)),
    reject: (reason) => this.#composer.reject(reason),
  });
  readonly #conversation = new Conversation({
    open: (messages) => this.#openChat(messages),
    changed: () => this.#conversationChanged(),
    emit: (type, detail) => this.#emit(type, detail),
    noteOf: (done) => answerNote(done, this.#gemma?.info.context ?? 0),
  });
  readonly #gpu = make("span", { part: "gpu" });
  readonly #new = make("button", { part: "new", type: "button" }, "New conversation");
  readonly #conversationView: HTMLElement;
  /** Style sheets select by these states: `gemtab-chat:state(answering)`. */
  readonly #states = this.attachInternals().states;
  /**
   * Whether the element is in the document. An element that is upgraded in a page gets its attributes' callback first.
   */
  #connected = false;
  #state: ChatState = "idle";
  #options: AnswerOptions = {};
  #gemma: Gemma | undefined;
  /** The controllers of `send` calls that have not ended. */
  readonly #sends = new Set<AbortController>();
  /** The controller of the current load: only the newest load may change the display. */
  #loading: AbortController | undefined;
  #loaded: Promise<void> | undefined;
  #previewing: AbortController | undefined;
  #seen: IntersectionObserver | undefined;
  #leaving: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    const foot = make("div", { part: "foot" }, this.#choices.element, this.#gpu, this.#new);
    const { log, announcer } = this.#conversation.transcript;
    const parts = [log, announcer, this.#examples.element, this.#composer.element, foot];
    this.#conversationView = make("div", { part: "conversation", hidden: true }, ...parts);
    this.#composer.takeDrops(this.#conversationView);
    const shadow = this.attachShadow({ mode: "open", delegatesFocus: true });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    shadow.adoptedStyleSheets = [sheet];
    shadow.append(this.#gate.element, this.#conversationView);
    this.#states.add(this.#state);
    this.#new.addEventListener("click", () => this.#try(this.reset()));
    this.addEventListener("keydown", ({ key, isComposing }) => {
      if (key === "Escape" && !isComposing) this.stop();
    });
  }

  /** The state. `statechange` reports changes. */
  get state(): ChatState {
    return this.#state;
  }

  /** The loaded model, or undefined. */
  get gemma(): Gemma | undefined {
    return this.#gemma;
  }

  /**
   * The sampling and length of answers. Default: {}, the bundle's own settings. Setting throws UsageError for unknown
   * options and invalid values.
   */
  get options(): AnswerOptions {
    return this.#options;
  }

  set options(options: AnswerOptions) {
    checkAnswerOptions(options);
    this.#options = options;
  }

  /**
   * The conversation so far. Setting shows another conversation and continues from it: a current answer is stopped,
   * without a `message` event. Setting throws UsageError for invalid messages. Default: [].
   */
  get messages(): readonly ChatMessage[] {
    return this.#conversation.messages;
  }

  set messages(messages: readonly ChatMessage[]) {
    checkMessages(messages);
    this.#conversation.messages = messages;
  }

  /**
   * Questions to start with, each with an image, audio or video file if it is about one. They are shown before the
   * first message. Setting throws UsageError for invalid examples. Default: [].
   */
  get examples(): readonly Example[] {
    return this.#examples.all;
  }

  set examples(examples: readonly Example[]) {
    checkExamples(examples);
    this.#examples.all = examples;
  }

  /** Called by the browser when the element enters a document. Reads the bundle's manifest. */
  connectedCallback(): void {
    clearTimeout(this.#leaving);
    // The element was moved: model and conversation are still here.
    if (this.#connected) return;
    const refusals = takeEarlyProperties(this, PROPERTIES);
    this.#connected = true;
    this.#lookAtBundle();
    this.#awaitSight();
    if (refusals[0]) this.#fail(refusals[0]);
  }

  /** Called by the browser when the element leaves a document. Unloads the model after a second. */
  disconnectedCallback(): void {
    this.#leaving = setTimeout(() => this.#leave(), GRACE_MS);
  }

  /** Called by the browser for moveBefore, which changes nothing. */
  connectedMoveCallback(): void {}

  /** Called by the browser when an attribute changes. Another `src` or `plan` unloads the model. */
  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (before === now || !this.#connected) return;
    if (name === "system" || name === "thinking") this.#conversation.renew();
    else if (name === "reveal" && this.#state !== "error") this.#awaitSight();
    else {
      this.#try(this.dispose());
      this.#lookAtBundle();
      this.#awaitSight();
    }
  }

  /**
   * Load the bundle of `src`. Resolves when the model is ready.
   *
   * @throws UsageError where `src` is empty, and the errors of Gemma.load
   */
  load(): Promise<void> {
    this.#loaded ??= this.#load();
    return this.#loaded;
  }

  /**
   * Send `content`, text or text and media, after loading the model where it is not loaded. Resolves when the answer
   * has ended.
   *
   * @throws UsageError while the model is answering, AbortError when the model is unloaded meanwhile, and the errors of
   * `load` and Chat.send
   */
  async send(content: Content): Promise<void> {
    checkContent(content);
    const stopper = new AbortController();
    this.#sends.add(stopper);
    try {
      await this.load();
      await this.#conversation.say(content, this.options, stopper);
    } finally {
      this.#sends.delete(stopper);
    }
  }

  /** Send a draft. After an error the visitor gets the draft back. */
  async #say(draft: Draft): Promise<void> {
    try {
      await this.send(contentOf(draft, this.#choices.chosen));
    } catch (error) {
      this.#composer.put(draft);
      throw error;
    }
  }

  /** Stop the current answer, or the wait for the model. The text so far stays. */
  stop(): void {
    for (const stopper of this.#sends) stopper.abort();
  }

  /** Start a new conversation. */
  async reset(): Promise<void> {
    this.messages = [];
    if (this.#gemma) this.#composer.focus();
  }

  /**
   * Unload the model and free the GPU's memory. Ends a current load. `load` loads the model again, and the conversation
   * continues.
   */
  async dispose(): Promise<void> {
    this.#endLoad();
    this.#conversation.leaveModel();
    this.#composer.rest();
    const gemma = this.#gemma;
    this.#gemma = undefined;
    this.#gate.showIdle();
    this.#enter("gate");
    this.#setState("idle");
    await gemma?.dispose();
  }

  async #load(): Promise<void> {
    const loading = new AbortController();
    this.#loading = loading;
    const isNewest = () => this.#loading === loading;
    this.#setState("loading");
    try {
      if (this.src === "") throw new UsageError("gemtab-chat: `src` names no bundle. Give the address of its folder.");
      const onProgress = (progress: LoadProgress) => {
        if (!isNewest()) return;
        this.#gate.showProgress(progress);
        this.#emit("progress", progress);
      };
      onProgress({ stage: "manifest", loaded: 0, total: 0, bytesPerSecond: 0 });
      const { plan, assets } = this;
      const gemma = await Gemma.load(this.src, {
        plan,
        signal: loading.signal,
        assets: assets || undefined,
        onProgress,
      });
      if (!isNewest()) {
        await gemma.dispose();
        throw new AbortError("Another load has replaced this one.");
      }
      this.#loading = undefined;
      this.#welcome(gemma);
    } catch (error) {
      if (isNewest()) this.#fail(error as Error);
      throw error;
    }
  }

  /** End a current load, or forget a finished one. */
  #endLoad(): void {
    this.#loading?.abort();
    this.#loading = undefined;
    this.#loaded = undefined;
  }

  /** Cancel the load for the visitor. */
  #cancel(): void {
    this.#endLoad();
    this.#seen?.disconnect();
    this.#gate.showIdle();
    this.#setState("idle");
    // An error that the preview found during the load has not been shown yet.
    if (this.#previewing) this.#lookAtBundle();
  }

  #leave(): void {
    this.#connected = false;
    this.#seen?.disconnect();
    this.#previewing?.abort();
    this.#try(this.dispose());
  }

  #welcome(gemma: Gemma): void {
    this.#gemma = gemma;
    this.#gpu.textContent = gpuName(gemma.info.adapter);
    const kinds = gemma.inputs.filter((input): input is Kind => input !== "text");
    this.#composer.kinds = kinds;
    this.#examples.kinds = kinds;
    this.#choices.offer(gemma);
    this.#enter("conversation");
    this.#setState("ready");
    this.#emit("ready", gemma.info);
    void gemma.lost.then(async (reason) => {
      // The text so far stays, so wait for the end of the answer.
      await this.#conversation.ended;
      if (this.#gemma !== gemma) return;
      await this.dispose().catch(() => undefined);
      this.#fail(reason);
    });
  }

  /** Open the conversation when it is first needed, with the current attributes. */
  #openChat(messages: ChatMessage[]): Chat {
    if (!this.#gemma) throw new UsageError("gemtab-chat: the model is not loaded.");
    const { system, thinking } = this;
    return this.#gemma.chat({ system: system || undefined, thinking, messages });
  }

  #conversationChanged(): void {
    this.#examples.hidden = !this.#conversation.empty;
    if (this.#gemma) this.#setState(this.#conversation.answering ? "answering" : "ready");
  }

  #fail(error: Error): void {
    this.#endLoad();
    this.#gate.showError(error);
    this.#enter("gate");
    this.#setState("error");
    this.#emit("error", { error });
  }

  #lookAtBundle(): void {
    this.#previewing?.abort();
    this.#previewing = undefined;
    if (this.src === "") {
      this.#gate.showNothing();
      return;
    }
    this.#gate.showLooking();
    this.#previewing = new AbortController();
    const { signal } = this.#previewing;
    preview(this.src, signal, this.plan, this.assets || undefined).then(
      (found) => {
        if (signal.aborted) return;
        this.#previewing = undefined;
        this.#gate.showPreview(found);
      },
      (error: Error) => {
        // A current load will report the same error.
        if (!signal.aborted && this.#state === "idle") this.#fail(error);
      },
    );
  }

  /** Load when the element becomes visible, if `reveal` is "auto". */
  #awaitSight(): void {
    this.#seen?.disconnect();
    try {
      checkReveal(this.reveal);
    } catch (error) {
      if (this.#state === "idle") this.#fail(error as Error);
      return;
    }
    if (this.reveal !== "auto" || this.src === "") return;
    this.#seen = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting) && this.#state === "idle") this.#try(this.load());
    });
    this.#seen.observe(this);
  }

  #enter(where: "gate" | "conversation"): void {
    const focused = this.shadowRoot?.activeElement !== null;
    this.#gate.element.hidden = where === "conversation";
    this.#conversationView.hidden = where === "gate";
    if (where === "conversation" && focused) this.#composer.focus();
  }

  #setState(state: ChatState): void {
    if (state === this.#state) return;
    const before = this.#state;
    this.#state = state;
    this.#states.delete(before);
    this.#states.add(state);
    this.#composer.answering = state === "answering";
    const focused = this.shadowRoot?.activeElement !== null;
    if (before === "answering" && state === "ready" && focused) this.#composer.focus();
    this.#emit("statechange", { state });
  }

  #emit<Name extends keyof GemtabChatDetails>(type: Name, detail: GemtabChatDetails[Name]): void {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** Ignore an error that is already shown and reported by an event. */
  #try(work: Promise<unknown>): void {
    work.catch(() => undefined);
  }
}

/** Return the content of a draft: media first, as in the model's training. A draft without media is a string. */
function contentOf({ text, attachments }: Draft, options: MediaOptions): Content {
  if (attachments.length === 0) return text;
  const media = attachments.map((attachment) => partOf(attachment, options));
  return text === "" ? media : [...media, { type: "text", text }];
}

function partOf({ kind, blob }: Attachment, { detail, frames, long }: MediaOptions): ContentPart {
  switch (kind) {
    case "image":
      return { type: "image", image: blob, detail };
    case "audio":
      return { type: "audio", audio: blob, long };
    case "video":
      return { type: "video", video: blob, detail, frames, long };
  }
}
