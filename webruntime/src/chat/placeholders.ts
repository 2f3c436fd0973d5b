/**
 * Expands the media placeholders of a rendered conversation, and locates the tokens of media. Mirrors
 * gemtab/chat/media.py.
 *
 * The template writes one placeholder for each medium. As in transformers' Gemma4Processor, one placeholder becomes as
 * many placeholder tokens as a tower makes rows, between begin and end tokens. The time of each video frame stands
 * before the frame.
 */

import { BundleError, UsageError } from "../errors.ts";
import { MAX_PLACEHOLDER, MEDIA, VIDEO_TOKEN } from "../facts.gen.ts";
import type { Item, Medium } from "../input/medium.ts";
import { type Cut, whole } from "../input/spoken.ts";
import type { Tokenizer } from "../input/tokenizer.ts";

/** An item whose tokens begin at index `position` of a prompt. */
export interface PromptItem {
  medium: Medium;
  item: Item;
  position: number;
}

/** Return the index after an item's last token. */
export function endOf({ item, position }: PromptItem): number {
  return position + item.tokens;
}

/** A prompt's ids, and the items whose placeholders are among them, in order. */
export interface PromptWithMedia {
  ids: readonly number[];
  items: readonly PromptItem[];
}

/**
 * Return a key for each token: its id, or the medium's key for a placeholder, so that equal placeholders of different
 * media differ.
 */
export function keysOf({ ids, items }: PromptWithMedia): (number | string)[] {
  const keys: (number | string)[] = [...ids];
  // All tokens of an item have one key: two prompts with the item at one position have its tokens at the same
  // positions.
  for (const positioned of items) keys.fill(positioned.item.key, positioned.position, endOf(positioned));
  return keys;
}

/** The placeholder tokens of one tokenizer. */
export class Placeholders {
  readonly #tokens: Record<string, unknown>;
  readonly #tokenizer: Tokenizer;

  /** @param config the parsed tokenizer_config.json, which names the tokens */
  constructor(config: object, tokenizer: Tokenizer) {
    this.#tokens = { video_token: VIDEO_TOKEN, ...config };
    this.#tokenizer = tokenizer;
  }

  /**
   * Return the prompt of a rendered conversation with each placeholder expanded. Throws UsageError where the
   * placeholders in `text` do not match `media`.
   *
   * @param cut separates the messages' text from the template's text
   */
  prompt(text: string, media: readonly Medium[], cut: Cut = whole): PromptWithMedia {
    return this.#locate(this.#tokenizer.encodePieces(cut(this.expand(text, media))), media);
  }

  /** The placeholders that templates write, with the kind of medium of each. */
  get tokens(): Map<string, Medium["kind"]> {
    return new Map(MEDIA.flatMap((kind) => this.#placeholder(kind)));
  }

  /** Return the text of a rendered conversation with each placeholder expanded. */
  expand(text: string, media: readonly Medium[]): string {
    const kinds = this.tokens;
    if (kinds.size === 0) return text;
    const pattern = new RegExp([...kinds.keys()].map((token) => token.replace(/\W/g, "\\$&")).join("|"), "g");
    const found = Array.from(text.matchAll(pattern), ([token]) => kinds.get(token));
    if (found.join() !== media.map(({ kind }) => kind).join()) {
      throw new UsageError(
        `The prompt has the placeholders ${found.join(", ") || "none"}, but its media are ` +
          `${media.map(({ kind }) => kind).join(", ") || "none"}. Either the bundle's template takes no media, or the ` +
          `texts are trusted and have placeholders: leave ${[...kinds.keys()].join(", ")} out of what you write.`,
      );
    }
    let next = 0;
    return text.replace(pattern, () => this.#written(media[next++] as Medium));
  }

  #placeholder(kind: Medium["kind"]): [string, Medium["kind"]][] {
    const token = this.#tokens[`${kind}_token`];
    if (typeof token !== "string" || token === "") return [];
    if (token.length <= MAX_PLACEHOLDER) return [[token, kind]];
    throw new BundleError(
      `tokenizer_config.json: ${kind}_token has ${token.length} characters; expected at most ${MAX_PLACEHOLDER}. Export ` +
        "the model again.",
      "tokenizer_config.json",
    );
  }

  #written(medium: Medium): string {
    const images = medium.items.filter(({ tower }) => tower === "image");
    const audio = medium.items.filter(({ tower }) => tower === "audio");
    const seen = images.map((item, index) => {
      const stamp = medium.stamps[index];
      const between = this.#token(tokenOf(medium, item)).repeat(item.tokens);
      return `${stamp ? `${stamp} ` : ""}${this.#token("boi_token")}${between}${this.#token("eoi_token")}`;
    });
    const heard = audio.map(
      ({ tokens }) => this.#token("boa_token") + this.#token("audio_token").repeat(tokens) + this.#token("eoa_token"),
    );
    return seen.join(" ") + heard.join("");
  }

  #locate(ids: readonly number[], media: readonly Medium[]): PromptWithMedia {
    const items: PromptItem[] = [];
    let end = 0;
    for (const medium of media) {
      for (const item of medium.items) {
        const position = ids.indexOf(this.#tokenizer.id(this.#token(tokenOf(medium, item))), end);
        items.push({ medium, item, position });
        end = position + item.tokens;
      }
    }
    return { ids, items };
  }

  #token(name: string): string {
    const token = this.#tokens[name];
    if (typeof token === "string") return token;
    throw new BundleError(
      `tokenizer_config.json names no ${name}, which media need. Export again.`,
      "tokenizer_config.json",
    );
  }
}

function tokenOf(medium: Medium, { tower }: Item): string {
  if (tower === "audio") return "audio_token";
  return medium.kind === "video" ? "video_token" : "image_token";
}
