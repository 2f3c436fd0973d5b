/** The media of one conversation, each read once. */

import type { Manifest } from "../bundle/manifest.gen.ts";
import { UsageError } from "../errors.ts";
import type { Medium } from "../input/medium.ts";
import type { ChatMessage, MediaPart } from "../messages.ts";
import type { EncodeCall } from "./encoder.ts";

/**
 * Read a medium. Throws UsageError for a medium that the bundle does not take, MediaError for an unreadable file, and
 * AbortError.
 */
export type ReadMedium = (part: MediaPart, signal: AbortSignal) => Promise<Medium>;

/** Reads the media of one conversation, each once. */
export class ConversationMedia {
  readonly #readMedium: ReadMedium;
  readonly #media = new Map<MediaPart, Medium>();

  constructor(readMedium: ReadMedium) {
    this.#readMedium = readMedium;
  }

  /** Return the media of a conversation in their order. */
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

  /** Release the decoded data. */
  release(): void {
    for (const medium of this.#media.values()) medium.release();
  }

  /** Release the decoded data, and forget media that are not in these messages. */
  keepOnly(messages: readonly ChatMessage[]): void {
    this.release();
    const parts = new Set(messages.flatMap(mediaParts));
    for (const part of this.#media.keys()) if (!parts.has(part)) this.#media.delete(part);
  }
}

/** Check that a bundle which takes `inputs` takes `part`. Throws UsageError. */
export function checkTaken(part: MediaPart, inputs: Manifest["inputs"]): void {
  const needed = part.type === "video" && part.audio ? (["video", "audio"] as const) : [part.type];
  const missing = needed.find((kind) => !inputs.includes(kind));
  if (missing === undefined) return;
  throw new UsageError(
    `This bundle takes ${inputs.join(", ")}, and no ${missing}. Use a bundle that was exported with ${missing}, if ` +
      "the model supports it.",
  );
}

function mediaParts({ content }: ChatMessage): MediaPart[] {
  return typeof content === "string" ? [] : content.filter((part) => part.type !== "text");
}
