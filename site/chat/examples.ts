/** Questions to begin with, some of them about a picture or a sound; a click asks one. */

import { type Kind, viewOf } from "./attachments.ts";
import type { Draft } from "./composer.ts";
import { make } from "./dom.ts";

export interface Example {
  text: string;
  /** What it is about, by its address. */
  media?: { kind: Kind; url: string; name: string };
}

export class Examples {
  readonly element = make("ul", { part: "examples", ariaLabel: "Examples" });
  readonly #choose: (draft: Draft) => void;
  #all: readonly Example[] = [];
  #kinds: readonly Kind[] = [];

  constructor(actions: { choose(draft: Draft): void }) {
    this.#choose = (draft) => actions.choose(draft);
    this.#show();
  }

  set all(all: readonly Example[]) {
    this.#all = all;
    this.#show();
  }

  /** What the model takes beside text. */
  set kinds(kinds: readonly Kind[]) {
    this.#kinds = kinds;
    this.#show();
  }

  set hidden(hidden: boolean) {
    this.element.hidden = hidden || this.element.childElementCount === 0;
  }

  #show(): void {
    const fitting = this.#all.filter(({ media }) => media === undefined || this.#kinds.includes(media.kind));
    this.element.replaceChildren(...fitting.map((example) => make("li", {}, this.#card(example))));
    this.hidden = false;
  }

  #card(example: Example): HTMLElement {
    const ask = make("button", { part: "example", type: "button" }, example.text);
    const { media } = example;
    if (media?.kind === "image") ask.prepend(viewOf(media, media.url));
    ask.addEventListener("click", () => void this.#ask(example));
    // A player has controls of its own, which cannot be inside a button.
    return media?.kind === "audio" ? make("div", { part: "example-sound" }, viewOf(media, media.url), ask) : ask;
  }

  async #ask({ text, media }: Example): Promise<void> {
    if (media === undefined) {
      this.#choose({ text, attachments: [] });
      return;
    }
    const blob = await (await fetch(media.url)).blob();
    this.#choose({ text, attachments: [{ kind: media.kind, name: media.name, blob }] });
  }
}
