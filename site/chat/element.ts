/** `<gemtab-chat src="bundles/tiny/">`: a conversation with a bundle, anywhere on a page. */

import {
  type AnswerOptions,
  type Chat,
  type ChatMessage,
  type Content,
  type ContentPart,
  Gemma,
  type Part,
  preview,
} from "../../webruntime/src/api/index.ts";
import type { Attachment, Kind } from "./attachments.ts";
import css from "./chat.css?inline";
import { Composer, type Draft } from "./composer.ts";
import { make } from "./dom.ts";
import { type Example, Examples } from "./examples.ts";
import { Gate } from "./gate.ts";
import { MediaChoices, type MediaOptions } from "./media-choices.ts";
import { answerNote, gpuName, mediaNote } from "./numbers.ts";
import { type AnswerView, Transcript } from "./transcript.ts";

export type ChatState = "idle" | "loading" | "ready" | "answering" | "error";

/** Where there is no page, as on a server that renders one, the module can be imported all the same. */
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

/**
 * Attributes: `src`, the bundle's folder; `assets`, that of gemtab's own scripts (see LoadOptions); `reveal`, "interaction"
 * (load on a click, the default) or "auto" (load when seen); `system`, a system prompt; `thinking`, let the model think
 * first; `plan`, "f16" or "f32" (see LoadOptions). Properties of the same names mirror them.
 *
 * Events: `progress`, `ready`, `token`, `message`, `stop`, `error`, `statechange`. They bubble, and say more in `detail`.
 */
export class GemtabChat extends Base {
  static readonly observedAttributes = ["src", "plan", "system", "thinking"];

  /** Sampling and length of answers; what is left out is as the bundle says. */
  options: AnswerOptions = {};

  readonly #gate = new Gate({ load: () => this.#try(this.load()), cancel: () => this.#loading?.abort() });
  readonly #composer = new Composer({ send: (draft) => this.#try(this.#say(draft)), stop: () => this.stop() });
  readonly #choices = new MediaChoices();
  readonly #examples = new Examples({ choose: (draft) => this.#try(this.#say(draft)) });
  readonly #transcript = new Transcript();
  readonly #gpu = make("span", { part: "gpu" });
  readonly #new = make("button", { part: "new", type: "button" }, "New conversation");
  readonly #room: HTMLElement;
  /** Style sheets select by them: `gemtab-chat:state(answering)`. */
  readonly #states = this.attachInternals().states;
  /** Between the two callbacks: an element that is upgraded in a page is told of its attributes before the first. */
  #connected = false;
  #state: ChatState = "idle";
  #messages: ChatMessage[] = [];
  #gemma: Gemma | undefined;
  #chat: Chat | undefined;
  #loading: AbortController | undefined;
  #loaded: Promise<void> | undefined;
  #answering: AbortController | undefined;
  #previewing: AbortController | undefined;
  #seen: IntersectionObserver | undefined;

  constructor() {
    super();
    const foot = make("div", { part: "foot" }, this.#choices.element, this.#gpu, this.#new);
    const { log, announcer } = this.#transcript;
    const parts = [log, announcer, this.#examples.element, this.#composer.element, foot];
    this.#room = make("div", { part: "room", hidden: true }, ...parts);
    this.#composer.takeDrops(this.#room);
    const shadow = this.attachShadow({ mode: "open", delegatesFocus: true });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    shadow.adoptedStyleSheets = [sheet];
    shadow.append(this.#gate.element, this.#room);
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

  get src(): string {
    return this.getAttribute("src") ?? "";
  }

  set src(src: string) {
    this.setAttribute("src", src);
  }

  get assets(): string {
    return this.getAttribute("assets") ?? "";
  }

  set assets(assets: string) {
    this.setAttribute("assets", assets);
  }

  get reveal(): "auto" | "interaction" {
    return this.getAttribute("reveal") === "auto" ? "auto" : "interaction";
  }

  set reveal(reveal: "auto" | "interaction") {
    this.setAttribute("reveal", reveal);
  }

  /** What the attribute says; a value that is not known is refused when the bundle is looked at. */
  get plan(): "auto" | "f16" | "f32" {
    return (this.getAttribute("plan") ?? "auto") as "auto" | "f16" | "f32";
  }

  set plan(plan: "auto" | "f16" | "f32") {
    this.setAttribute("plan", plan);
  }

  get system(): string {
    return this.getAttribute("system") ?? "";
  }

  set system(system: string) {
    this.setAttribute("system", system);
  }

  get thinking(): boolean {
    return this.hasAttribute("thinking");
  }

  set thinking(thinking: boolean) {
    this.toggleAttribute("thinking", thinking);
  }

  /** The conversation so far; setting it shows another one and goes on with that. */
  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  set messages(messages: readonly ChatMessage[]) {
    this.stop();
    this.#setMessages(messages);
    this.#transcript.show(messages);
    this.#closeChat();
  }

  /** Questions to begin with, each with a picture, a sound or a clip if it is about one; shown before the first message. */
  set examples(examples: readonly Example[]) {
    this.#examples.all = examples;
  }

  #setMessages(messages: readonly ChatMessage[]): void {
    this.#messages = [...messages];
    this.#examples.hidden = messages.length > 0;
  }

  connectedCallback(): void {
    this.#connected = true;
    this.#lookAtBundle();
    if (this.reveal !== "auto") return;
    this.#seen = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting) && this.#state === "idle") this.#try(this.load());
    });
    this.#seen.observe(this);
  }

  disconnectedCallback(): void {
    this.#connected = false;
    this.#seen?.disconnect();
    this.#previewing?.abort();
    this.#try(this.dispose());
  }

  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (before === now || !this.#connected) return;
    if (name !== "src" && name !== "plan") this.#closeChat();
    else this.#try(this.dispose().then(() => this.#lookAtBundle()));
  }

  /** Loads the bundle of `src`; resolves when the model can be spoken to. Throws what Gemma.load throws. */
  load(): Promise<void> {
    this.#loaded ??= this.#load().catch((error: unknown) => {
      this.#loaded = undefined;
      throw error;
    });
    return this.#loaded;
  }

  /**
   * Says `content`, words or words and media, loading the model first where it is not loaded; resolves when the answer has
   * ended.
   */
  async send(content: Content): Promise<void> {
    await this.load();
    if (this.#answering) return;
    const stopper = new AbortController();
    this.#answering = stopper;
    this.#setState("answering");
    this.#examples.hidden = true;
    this.#transcript.addUser(content);
    const view = this.#transcript.addAnswer();
    try {
      const chat = this.#openChat();
      for await (const part of chat.send(content, { ...this.options, signal: stopper.signal })) this.#show(part, view);
      this.#setMessages(await chat.messages());
    } catch (error) {
      this.#refuse(error as Error, view);
      throw error;
    } finally {
      if (this.#answering === stopper) this.#answering = undefined;
      if (this.#state === "answering") this.#setState("ready");
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

  /** Stops the answer; what was written stays. */
  stop(): void {
    this.#answering?.abort();
  }

  /** Starts a new conversation. */
  async reset(): Promise<void> {
    this.messages = [];
    if (this.#gemma) this.#composer.focus();
  }

  /** Lets go of the model and the GPU's memory. `load` loads again. */
  async dispose(): Promise<void> {
    this.#loading?.abort();
    this.stop();
    this.#composer.rest();
    const gemma = this.#gemma;
    this.#gemma = undefined;
    this.#chat = undefined;
    this.#loaded = undefined;
    this.#gate.showIdle();
    this.#enter("gate");
    this.#setState("idle");
    await gemma?.dispose();
  }

  async #load(): Promise<void> {
    const loading = new AbortController();
    this.#loading = loading;
    this.#setState("loading");
    try {
      const onProgress = (progress: Parameters<Gate["showProgress"]>[0]) => {
        this.#gate.showProgress(progress);
        this.#emit("progress", progress);
      };
      onProgress({ stage: "manifest", loaded: 0, total: 0, bytesPerSecond: 0 });
      const { plan, assets } = this;
      const { signal } = loading;
      this.#welcome(await Gemma.load(this.src, { plan, signal, assets: assets || undefined, onProgress }));
    } catch (error) {
      if (loading.signal.aborted) {
        this.#gate.showIdle();
        this.#setState("idle");
      } else this.#fail(error as Error);
      throw error;
    } finally {
      if (this.#loading === loading) this.#loading = undefined;
    }
  }

  #welcome(gemma: Gemma): void {
    this.#gemma = gemma;
    this.#gpu.textContent = gpuName(gemma.info.adapter);
    const kinds = gemma.inputs.filter((input): input is Kind => input !== "text");
    this.#composer.kinds = kinds;
    this.#examples.kinds = kinds;
    this.#choices.offer(gemma);
    this.#enter("room");
    this.#setState("ready");
    this.#emit("ready", gemma.info);
    void gemma.lost.then(async (reason) => {
      if (this.#gemma !== gemma) return;
      await this.dispose();
      this.#fail(reason);
    });
  }

  /** The conversation is opened when it is first needed, with the attributes as they are then. */
  #openChat(): Chat {
    if (!this.#gemma) throw new Error("gemtab-chat: the model is not loaded.");
    const { system, thinking } = this;
    this.#chat ??= this.#gemma.chat({ system: system || undefined, thinking, messages: [...this.#messages] });
    return this.#chat;
  }

  #closeChat(): void {
    const chat = this.#chat;
    this.#chat = undefined;
    if (chat) this.#try(chat.dispose());
  }

  #show(part: Part, view: AnswerView): void {
    switch (part.type) {
      case "media":
        view.waitingFor(mediaNote(part));
        break;
      case "prompt":
        view.waitingFor(`Reading… ${part.done} of ${part.total} tokens`);
        break;
      case "thought":
      case "text":
        view[part.type](part.text);
        this.#emit("token", part);
        break;
      case "tool_call":
        view.toolCall(part);
        this.#emit("token", part);
        break;
      case "done":
        view.end(answerNote(part, this.#gemma?.info.context ?? 0));
        this.#emit("message", part);
        if (part.finish === "abort") this.#emit("stop", part);
    }
  }

  /** An answer that could not be given: the conversation is as it was before. */
  #refuse(error: Error, view: AnswerView): void {
    view.end("");
    this.#transcript.show(this.#messages);
    this.#transcript.addNotice(error.message);
    this.#examples.hidden = this.#messages.length > 0;
    this.#emit("error", { error });
  }

  #fail(error: Error): void {
    this.#gate.showError(error);
    this.#enter("gate");
    this.#setState("error");
    this.#emit("error", { error });
  }

  #lookAtBundle(): void {
    this.#previewing?.abort();
    const previewing = new AbortController();
    this.#previewing = previewing;
    this.#gate.loadable = this.src !== "";
    if (this.src === "") return;
    this.#gate.showLooking();
    preview(this.src, previewing.signal, this.plan).then(
      (found) => {
        if (!previewing.signal.aborted && this.#state === "idle") this.#gate.showPreview(found);
      },
      (error: Error) => {
        if (!previewing.signal.aborted && this.#state === "idle") this.#fail(error);
      },
    );
  }

  #enter(where: "gate" | "room"): void {
    const focused = this.shadowRoot?.activeElement !== null;
    this.#gate.element.hidden = where === "room";
    this.#room.hidden = where === "gate";
    if (where === "room" && focused) this.#composer.focus();
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
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
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
