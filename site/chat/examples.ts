/** Shows questions to start with, some of them about an image or audio. A click asks one. */

import { type Kind, viewOf } from "./attachments.ts";
import type { Draft } from "./composer.ts";
import { make } from "./dom.ts";

/** A question to start with. */
export interface Example {
  text: string;
  /** The file that the question is about, by its address. */
  media?: { kind: Kind; url: string; name: string };
}

/** The list of examples. */
export class Examples {
  readonly element = make("ul", { part: "examples", ariaLabel: "Examples" });
  readonly #actions: { choose(draft: Draft): void; reject(reason: string): void };
  #all: readonly Example[] = [];
  #kinds: readonly Kind[] = [];
  #hidden = false;

  constructor(actions: { choose(draft: Draft): void; reject(reason: string): void }) {
    this.#actions = actions;
    this.#show();
  }

  /** All examples, including those whose media the model does not take. */
  get all(): readonly Example[] {
    return this.#all;
  }

  set all(all: readonly Example[]) {
    this.#all = all;
    this.#show();
  }

  /** The kinds of media that the model takes. */
  set kinds(kinds: readonly Kind[]) {
    this.#kinds = kinds;
    this.#show();
  }

  /** Whether the examples are hidden. */
  set hidden(hidden: boolean) {
    this.#hidden = hidden;
    this.element.hidden = hidden || this.element.childElementCount === 0;
  }

  #show(): void {
    const fitting = this.#all.filter(({ media }) => media === undefined || this.#kinds.includes(media.kind));
    this.element.replaceChildren(...fitting.map((example) => make("li", {}, this.#card(example))));
    this.hidden = this.#hidden;
  }

  #card(example: Example): HTMLElement {
    const ask = make("button", { part: "example", type: "button" }, example.text);
    const { media } = example;
    if (media?.kind === "image") ask.prepend(viewOf(media, media.url));
    ask.addEventListener("click", async () => {
      ask.disabled = true;
      await this.#ask(example);
      ask.disabled = false;
    });
    // A player has its own controls, which cannot be inside a button.
    return media?.kind === "audio" ? make("div", { part: "example-audio" }, viewOf(media, media.url), ask) : ask;
  }

  async #ask({ text, media }: Example): Promise<void> {
    try {
      const attachments = media === undefined ? [] : [{ kind: media.kind, name: media.name, blob: await read(media) }];
      this.#actions.choose({ text, attachments });
    } catch (error) {
      this.#actions.reject((error as Error).message);
    }
  }
}

/** Fetch the file of an example. Throws Error with a message for the visitor. */
async function read({ url, name }: NonNullable<Example["media"]>): Promise<Blob> {
  const response = await fetch(url).catch(() => undefined);
  const blob = response?.ok ? await response.blob().catch(() => undefined) : undefined;
  if (blob) return blob;
  const status = response && !response.ok ? ` (HTTP ${response.status})` : "";
  throw new Error(
    `The example's file ${name} could not be fetched${status}. Check the connection, or ask about your own file.`,
  );
}
