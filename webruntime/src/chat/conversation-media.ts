/** The media of one conversation, each read once. */

import type { Manifest } from "../bundle/manifest.gen.ts";
import { UsageError } from "../errors.ts";
import type { Medium } from "../input/medium.ts";
import type { ChatMessage, MediaPart } from "../messages.ts";
import type { EncodeCall } from "./encoder.ts";

/** Throws UsageError for what the bundle does not take, MediaError for what cannot be read, and AbortError. */
export type ReadMedium = (part: MediaPart, signal: AbortSignal) => Promise<Medium>;

export class ConversationMedia {
  readonly #readMedium: ReadMedium;
  readonly #media = new Map<MediaPart, Medium>();

  constructor(readMedium: ReadMedium) {
    this.#readMedium = readMedium;
  }

  /** The media of a conversation in their order. */
  async read(messages: readonly ChatMessage[], { signal, emit }: EncodeCall): Promise<Medium[]> {
    const parts = messages.flatMap(mediaParts);
    const unread = [...new Set(parts)].filter((part) => !this.#media.has(part));
    for (const part of unread) {
      const alike = unread.filter(({ type }) => type === part.type);
      emit({ type: "media", stage: "read", kind: part.type, number: alike.indexOf(part) + 1, of: alike.length });
      this.#media.set(part, await this.#readMedium(part, signal));
    }
    return parts.map((part) => this.#media.get(part) as Medium);
  }

  /** Lets go of what was decoded. */
  release(): void {
    for (const medium of this.#media.values()) medium.release();
  }

  /** Lets go of what was decoded, and forgets media that are not in these messages. */
  keepOnly(messages: readonly ChatMessage[]): void {
    this.release();
    const parts = new Set(messages.flatMap(mediaParts));
    for (const part of this.#media.keys()) if (!parts.has(part)) this.#media.delete(part);
  }
}

/** Throws UsageError where a bundle that takes `inputs` does not take `part`. */
export function checkTaken(part: MediaPart, inputs: Manifest["inputs"]): void {
  const needed = part.type === "video" && part.sound ? (["video", "audio"] as const) : [part.type];
  const missing = needed.find((kind) => !inputs.includes(kind));
  if (missing === undefined) return;
  throw new UsageError(
    `This bundle takes ${inputs.join(", ")}, and no ${missing}. Use one that was exported with it, if the model has ` +
      "that part.",
  );
}

function mediaParts({ content }: ChatMessage): MediaPart[] {
  return typeof content === "string" ? [] : content.filter((part) => part.type !== "text");
}
