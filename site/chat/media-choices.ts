/** The visitor's settings for images, audio and videos. */

import type { AudioPart, Gemma, ImageDetail, VideoPart } from "../../webruntime/src/api/index.ts";
import { make } from "./dom.ts";
import { MAX_SECONDS } from "./recorder.ts";

type LongAudio = NonNullable<AudioPart["long"]>;

/** Undefined options have the model's defaults. */
export type MediaOptions = Pick<VideoPart, "detail" | "frames" | "long">;

/** The choices for the number of frames. More than 32 do not fit into memory at the highest detail. */
const FRAMES = [8, 16, 32];

const LONG_AUDIO: [string, LongAudio][] = [
  ["in parts", "segments"],
  ["rejected", "refuse"],
];

/** A select with its label. Hidden where there is nothing to choose. */
class Choice<Value> {
  readonly #select: HTMLSelectElement;
  readonly element: HTMLElement;
  #values: readonly Value[] = [];

  constructor(part: string, label: string, title: string) {
    this.#select = make("select", { part });
    this.element = make("label", { part: `choice ${part}-choice`, hidden: true, title }, `${label} `, this.#select);
  }

  /** The names and values. The first is selected. */
  set choices(choices: readonly (readonly [string, Value])[]) {
    this.element.hidden = choices.length < 2;
    this.#values = choices.map(([, value]) => value);
    this.#select.replaceChildren(...choices.map(([name]) => new Option(name)));
  }

  get chosen(): Value | undefined {
    return this.#values[this.#select.selectedIndex];
  }
}

/** The selects for media. */
export class MediaChoices {
  readonly #detail = new Choice<ImageDetail | undefined>(
    "detail",
    "Image detail",
    "The most tokens for an image, or for each frame of a video",
  );
  readonly #frames = new Choice<number | undefined>(
    "frames",
    "Frames",
    "The most frames that the model sees of a video",
  );
  readonly #long = new Choice<LongAudio>(
    "long",
    "Long audio",
    `Audio of more than ${MAX_SECONDS} seconds, in videos too`,
  );
  readonly element = make("div", { part: "choices" }, this.#detail.element, this.#frames.element, this.#long.element);

  /** Offer the choices that a model has. */
  offer({ inputs, details }: Pick<Gemma, "inputs" | "details">): void {
    this.#detail.choices = withDefault(details, "tokens");
    this.#frames.choices = inputs.includes("video") ? withDefault(FRAMES, "frames") : [];
    this.#long.choices = inputs.includes("audio") ? LONG_AUDIO : [];
  }

  /** The visitor's choices. */
  get chosen(): MediaOptions {
    return { detail: this.#detail.chosen, frames: this.#frames.chosen, long: this.#long.chosen };
  }
}

function withDefault<Value extends number>(
  values: readonly Value[],
  unit: string,
): (readonly [string, Value | undefined])[] {
  if (values.length < 2) return [];
  return [["default", undefined], ...values.map((value) => [`${value} ${unit}`, value] as const)];
}
