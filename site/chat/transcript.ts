/** Displays the conversation. */

import type { ChatMessage, Content, ContentPart, ToolCall } from "../../webruntime/src/api/index.ts";
import { type Kind, viewOf } from "./attachments.ts";
import { make } from "./dom.ts";
import { MarkdownStream } from "./markdown/stream.ts";
import { Sentences } from "./sentences.ts";
import { balanced, plain } from "./written.ts";

/** The labels of media without a name. */
const NAMES: Record<Kind, string> = { image: "Image", audio: "Audio", video: "Video" };

/** The log counts as scrolled to its end within this many pixels. */
const NEAR_END = 48;

/** The log of the conversation. */
export class Transcript {
  readonly log = make("div", { part: "log", role: "log", tabIndex: 0, ariaLabel: "Conversation", ariaLive: "off" });
  /** For screen readers, which read it sentence by sentence; they would read the log token by token. */
  readonly announcer = make("div", { className: "unseen", ariaLive: "polite" });

  /** Whether the log is scrolled to its end. It then stays there as the log grows or its window shrinks. */
  #atEnd = true;

  #notice = make("p");

  /** The log's layout at the last check. */
  #layout = "";

  constructor() {
    this.log.addEventListener("scroll", () => this.#scrolled());
    new ResizeObserver(() => this.#follow()).observe(this.log);
  }

  /** Show a message of the user. The returned function removes it. */
  addUser(content: Content): () => void {
    const parts = typeof content === "string" ? [{ type: "text" as const, text: content }] : content;
    const media = parts.flatMap(mediaView);
    const text = textOf(content);
    const body = make("div", { part: "text user-text" });
    if (media.length > 0) body.append(make("div", { className: "media" }, ...media));
    body.append(text);
    const article = this.#add("user", "You", body);
    this.#scrollToEnd();
    return () => remove(article);
  }

  /** Show a new answer. remove: removes it. */
  addAnswer(): { view: AnswerView; remove(): void } {
    const view = new AnswerView({ announce: (text) => this.#announce(text), grown: () => this.#follow() });
    const article = this.#add("assistant", "Model", view.element);
    this.#scrollToEnd();
    return { view, remove: () => remove(article) };
  }

  /** The line after the last message, for example about a failed answer. */
  set notice(text: string) {
    this.#notice.remove();
    if (text === "") return;
    this.#notice = make("p", { part: "notice", role: "alert" }, plain(text));
    this.log.append(this.#notice);
    this.#scrollToEnd();
  }

  /** Show a whole conversation. */
  show(messages: readonly ChatMessage[]): void {
    for (const shown of [...this.log.children]) remove(shown);
    for (const { role, content, toolCalls = [] } of messages) {
      if (role === "user") this.addUser(content);
      if (role !== "assistant") continue;
      const { view } = this.addAnswer();
      for (const call of toolCalls) view.toolCall(call);
      view.text(textOf(content));
      view.end("");
    }
    this.announcer.replaceChildren();
  }

  #add(role: "user" | "assistant", name: string, body: HTMLElement): HTMLElement {
    const speaker = make("h2", { className: "unseen" }, name);
    const article = make("article", { part: `message ${role}`, className: role }, speaker, body);
    this.log.append(article);
    return article;
  }

  #announce(text: string): void {
    if (text !== "") this.announcer.append(make("p", {}, text));
  }

  #scrolled(): void {
    const { scrollHeight, scrollTop, clientHeight } = this.log;
    // A new layout scrolls too, which does not show the reader's wish.
    if (this.#layout !== layoutOf(this.log)) this.#follow();
    else this.#atEnd = scrollHeight - scrollTop - clientHeight < NEAR_END;
  }

  #follow(): void {
    this.#layout = layoutOf(this.log);
    if (this.#atEnd) this.#scrollToEnd();
  }

  #scrollToEnd(): void {
    this.#atEnd = true;
    this.log.scrollTop = this.log.scrollHeight;
  }
}

function textOf(content: Content): string {
  if (typeof content === "string") return content;
  return content.map((part) => (part.type === "text" ? part.text : "")).join("");
}

/** Return the view of an image, audio or video. Samples from a microphone have no player. */
function mediaView(part: ContentPart): HTMLElement[] {
  if (part.type === "text") return [];
  const content = part.type === "image" ? part.image : part.type === "audio" ? part.audio : part.video;
  if (!(content instanceof Blob)) return [make("span", {}, "Audio")];
  return [viewOf({ kind: part.type, name: NAMES[part.type] }, URL.createObjectURL(content))];
}

/** Remove a message and release its media. */
function remove(shown: Element): void {
  for (const medium of shown.querySelectorAll<HTMLMediaElement | HTMLImageElement>("img, audio, video")) {
    URL.revokeObjectURL(medium.src);
  }
  shown.remove();
}

function layoutOf({ scrollHeight, clientHeight, clientWidth }: HTMLElement): string {
  return `${scrollHeight} ${clientHeight} ${clientWidth}`;
}

interface AnswerHost {
  announce(text: string): void;
  grown(): void;
}

/** One answer as it grows. */
export class AnswerView {
  readonly element = make("div", { className: "answer" });
  readonly #host: AnswerHost;
  readonly #text = make("div", { part: "text answer-text" });
  readonly #markdown = new MarkdownStream(this.#text, () => this.#host.grown());
  readonly #sentences = new Sentences();
  readonly #waiting = make("p", { part: "waiting" }, "Reading…");
  #thought: HTMLElement | undefined;

  constructor(host: AnswerHost) {
    this.#host = host;
    this.element.append(this.#waiting, this.#text);
  }

  /** Show what happens before the answer begins. */
  waitingFor(words: string): void {
    this.#waiting.textContent = words;
  }

  /** Append to the thoughts. */
  thought(text: string): void {
    this.#waiting.remove();
    this.#thought ??= this.#addThought();
    this.#thought.append(text);
    this.#host.grown();
  }

  /** Append to the text. */
  text(text: string): void {
    this.#waiting.remove();
    this.#markdown.write(text);
    this.#host.announce(this.#sentences.push(text));
    this.#host.grown();
  }

  /** Show a function call. */
  toolCall({ name, arguments: args }: ToolCall): void {
    this.#waiting.remove();
    const code = make("code", {}, `${balanced(name)}(${balanced(args.replaceAll('<|"|>', '"'))})`);
    this.#text.before(make("p", { part: "tool-call" }, "Asks for the tool ", code));
    this.#host.grown();
  }

  /** End the answer with a short note. */
  end(note: string): void {
    this.#waiting.remove();
    this.#markdown.end();
    this.#host.announce(this.#sentences.end());
    if (note !== "") this.element.append(make("p", { part: "stats" }, note));
    this.#host.grown();
  }

  #addThought(): HTMLElement {
    const body = make("div", { part: "thought-text" });
    this.#text.before(make("details", { part: "thought" }, make("summary", {}, "Thinking"), body));
    return body;
  }
}
