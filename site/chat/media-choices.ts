/** How pictures, sounds and clips are looked at and listened to. */

import type { AudioPart, Gemma, ImageDetail, VideoPart } from "../../webruntime/src/api/index.ts";
import { make } from "./dom.ts";
import { MOST_SECONDS } from "./recorder.ts";

type LongAudio = NonNullable<AudioPart["long"]>;

/** What is undefined is as the model has it. */
export type MediaOptions = Pick<VideoPart, "detail" | "frames" | "long">;

/** More than 32 do not fit into memory at the highest detail. */
const FRAMES = [8, 16, 32];

const LONG_AUDIO: [string, LongAudio][] = [
  ["in parts", "segments"],
  ["refused", "refuse"],
];

/** One select with its label; hidden where there is nothing to choose. */
class Choice<Value> {
  readonly #select: HTMLSelectElement;
  readonly element: HTMLElement;
  #values: readonly Value[] = [];

  constructor(part: string, label: string, title: string) {
    this.#select = make("select", { part });
    this.element = make("label", { part: `choice ${part}-choice`, hidden: true, title }, `${label} `, this.#select);
  }

  /** Names and values; the first is chosen. */
  set choices(choices: readonly (readonly [string, Value])[]) {
    this.element.hidden = choices.length < 2;
    this.#values = choices.map(([, value]) => value);
    this.#select.replaceChildren(...choices.map(([name]) => new Option(name)));
  }

  get chosen(): Value | undefined {
    return this.#values[this.#select.selectedIndex];
  }
}

export class MediaChoices {
  readonly #detail = new Choice<ImageDetail | undefined>(
    "detail",
    "Picture detail",
    "Tokens of a picture, or of each frame of a clip, at most",
  );
  readonly #frames = new Choice<number | undefined>(
    "frames",
    "Frames",
    "How many frames of a clip are looked at, at most",
  );
  readonly #long = new Choice<LongAudio>(
    "long",
    "Long sounds",
    `Those of more than ${MOST_SECONDS} seconds, in clips too`,
  );
  readonly element = make("div", { part: "choices" }, this.#detail.element, this.#frames.element, this.#long.element);

  /** Offers what there is to choose for a model. */
  offer({ inputs, details }: Pick<Gemma, "inputs" | "details">): void {
    this.#detail.choices = withDefault(details, "tokens");
    this.#frames.choices = inputs.includes("video") ? withDefault(FRAMES, "frames") : [];
    this.#long.choices = inputs.includes("audio") ? LONG_AUDIO : [];
  }

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
