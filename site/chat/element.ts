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
import { type Example, Examples } from "./examples.ts";
import { Gate } from "./gate.ts";
import { MediaChoices, type MediaOptions } from "./media-choices.ts";
import { answerNote, gpuName } from "./numbers.ts";

/** Milliseconds within which an element that was taken out of the document may be put back as if it had been moved. */
const GRACE_MS = 1000;

/** What pages may set before this script has come. */
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

export type ChatState = "idle" | "loading" | "ready" | "answering" | "error";

/**
 * Attributes: `src`, the bundle's folder; `assets`, that of gemtab's own scripts (see LoadOptions); `reveal`, "interaction"
 * (load on a click, the default) or "auto" (load when seen); `system`, a system prompt; `thinking`, let the model think
 * first; `plan`, "f16" or "f32" (see LoadOptions). Properties of the same names mirror them; null takes an attribute away.
 * Properties that a page sets before this script is there are taken.
 *
 * Events: `progress`, `ready`, `token`, `message`, `stop`, `error`, `statechange`. They do not bubble, and say more in
 * `detail`. Colours are light or dark as `color-scheme` says where the element stands.
 *
 * The element may be moved in the document; where it is taken out for longer, it gives the model back.
 */
export class GemtabChat extends Attributes {
  readonly #gate = new Gate({ load: () => this.#try(this.load()), cancel: () => this.#cancel() });
  readonly #composer = new Composer({ send: (draft) => this.#try(this.#say(draft)), stop: () => this.stop() });
  readonly #choices = new MediaChoices();
  readonly #examples = new Examples({
    choose: (draft) => this.#try(this.#say(draft)),
    refuse: (reason) => this.#composer.refuse(reason),
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
  /** Style sheets select by them: `gemtab-chat:state(answering)`. */
  readonly #states = this.attachInternals().states;
  /** Between the two callbacks: an element that is upgraded in a page is told of its attributes before the first. */
  #connected = false;
  #state: ChatState = "idle";
  #options: AnswerOptions = {};
  #gemma: Gemma | undefined;
  /** Of the calls of `send` that have not ended. */
  readonly #sends = new Set<AbortController>();
  /** Of the load that is under way: the newest, which alone may change what is shown. */
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

  get state(): ChatState {
    return this.#state;
  }

  /** The loaded model, for pages that want more of it. */
  get gemma(): Gemma | undefined {
    return this.#gemma;
  }

  /** Sampling and length of answers; what is left out is as the bundle says. Setting throws UsageError as Chat.send does. */
  get options(): AnswerOptions {
    return this.#options;
  }

  set options(options: AnswerOptions) {
    checkAnswerOptions(options);
    this.#options = options;
  }

  /**
   * The conversation so far; setting it shows another one and goes on with that. An answer that is under way is stopped,
   * and `message` does not tell of it. Setting throws UsageError for messages that cannot be.
   */
  get messages(): readonly ChatMessage[] {
    return this.#conversation.messages;
  }

  set messages(messages: readonly ChatMessage[]) {
    checkMessages(messages);
    this.#conversation.messages = messages;
  }

  /** Questions to begin with, each with an image, an audio file or a video if it is about one; shown before the first message. */
  get examples(): readonly Example[] {
    return this.#examples.all;
  }

  set examples(examples: readonly Example[]) {
    checkExamples(examples);
    this.#examples.all = examples;
  }

  connectedCallback(): void {
    clearTimeout(this.#leaving);
    // Moved: model and conversation are here still.
    if (this.#connected) return;
    const refusals = takeEarlyProperties(this, PROPERTIES);
    this.#connected = true;
    this.#lookAtBundle();
    this.#awaitSight();
    if (refusals[0]) this.#fail(refusals[0]);
  }

  disconnectedCallback(): void {
    this.#leaving = setTimeout(() => this.#leave(), GRACE_MS);
  }

  /** Moved by moveBefore: nothing changes. */
  connectedMoveCallback(): void {}

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

  /** Loads the bundle of `src`; resolves when the model can be spoken to. Throws what Gemma.load throws. */
  load(): Promise<void> {
    this.#loaded ??= this.#load();
    return this.#loaded;
  }

  /**
   * Says `content`, words or words and media, loading the model first where it is not loaded; resolves when the answer has
   * ended. Throws what Chat.send throws: UsageError while the model is answering, AbortError when the model is given back
   * meanwhile.
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

  /** Says what was written and attached; after an error the visitor gets it back. */
  async #say(draft: Draft): Promise<void> {
    try {
      await this.send(contentOf(draft, this.#choices.chosen));
    } catch (error) {
      this.#composer.put(draft);
      throw error;
    }
  }

  /** Stops the answer; what was written stays. Also one that waits for the model to be loaded. */
  stop(): void {
    for (const stopper of this.#sends) stopper.abort();
  }

  /** Starts a new conversation. */
  async reset(): Promise<void> {
    this.messages = [];
    if (this.#gemma) this.#composer.focus();
  }

  /** Lets go of the model and the GPU's memory; ends a load. `load` loads again, and the conversation goes on. */
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
        throw new AbortError("Another load has taken the place of this one.");
      }
      this.#loading = undefined;
      this.#welcome(gemma);
    } catch (error) {
      if (isNewest()) this.#fail(error as Error);
      throw error;
    }
  }

  /** Ends the load that is under way, or forgets the one that has ended. */
  #endLoad(): void {
    this.#loading?.abort();
    this.#loading = undefined;
    this.#loaded = undefined;
  }

  /** The visitor does not want to wait. */
  #cancel(): void {
    this.#endLoad();
    this.#seen?.disconnect();
    this.#gate.showIdle();
    this.#setState("idle");
    // What was found wrong while the model was being loaded is not said yet.
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
      // What was said stays, and so its end is waited for.
      await this.#conversation.ended;
      if (this.#gemma !== gemma) return;
      await this.dispose().catch(() => undefined);
      this.#fail(reason);
    });
  }

  /** The conversation is opened when it is first needed, with the attributes as they are then. */
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
        // A load that is under way will say the same.
        if (!signal.aborted && this.#state === "idle") this.#fail(error);
      },
    );
  }

  /** Loads when the element is seen, where it is to do so. */
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

  #emit(type: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** What went wrong is shown and told by event already; nobody waits for the promise. */
  #try(work: Promise<unknown>): void {
    work.catch(() => undefined);
  }
}

/** Media first, as the model is used to; a draft of text alone is a string. */
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
