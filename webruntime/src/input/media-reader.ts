/**
 * From files to media of a conversation, as the bundle's processor_config.json says. Mirrors gemtab/chat/reader.py.
 * Imported dynamically, when the first picture, sound or clip comes.
 */

import type { BundleFiles } from "../bundle/files.ts";
import { MediaError, UsageError } from "../errors.ts";
import type { AudioPart, ImagePart, MediaPart, Samples, VideoPart } from "../messages.ts";
import { Decoded } from "./decoded.ts";
import { digestBlob } from "./digest.ts";
import { blobName, checkSize } from "./image/decode.ts";
import { readHeader } from "./image/header.ts";
import {
  checkBytes,
  HIGHEST_RATE,
  LOWEST_RATE,
  MOST_FILE_BYTES,
  MOST_IMAGE_BYTES,
  MOST_SAMPLES,
  MOST_VIDEO_BYTES,
} from "./limits.ts";
import {
  type AudioInputs,
  type AudioRules,
  audioInputs,
  audioRules,
  decodeAudio,
  decodeImage,
  decodeVideo,
  type ImageInputs,
  type ImageRules,
  imageInputs,
  readRules,
  resampleAudio,
  type Size,
  segments,
  softTokenSide,
  targetSize,
  type VideoInputs,
  type VideoRules,
  withBudget,
} from "./media.ts";
import type { Item, Medium, TowerInputs } from "./medium.ts";

const PROCESSOR_CONFIG = "processor_config.json";

/** Enough of a picture's file for its header, but for unusual ones. */
const HEADER_BYTES = 1 << 20;

type Signal = AbortSignal | undefined;
type LongAudio = NonNullable<AudioPart["long"]>;

/** What is counted of a file once, so that it need not be decoded again while its rows are kept. */
interface Shape {
  /** Of each picture, frame or segment. */
  tokens: number[];
  stamps: string[];
  hasSound: boolean;
}

export async function openMediaReader(files: BundleFiles): Promise<MediaReader> {
  return new MediaReader(await files.json(PROCESSOR_CONFIG), files.manifest.towers.audio.length > 0);
}

export class MediaReader {
  readonly #processor: unknown;
  readonly #hears: boolean;
  /** By digest and settings. */
  readonly #shapes = new Map<string, Shape>();

  /**
   * @param processor the parsed processor_config.json
   * @param hears whether the bundle takes sound, that of clips too
   */
  constructor(processor: unknown, hears: boolean) {
    this.#processor = processor;
    this.#hears = hears;
  }

  /**
   * Looks at a file as far as is needed to know how many tokens it takes: a picture is not decoded yet. Throws
   * MediaError for what cannot be read, UsageError for settings that cannot be had, and AbortError.
   */
  read(part: MediaPart, signal: Signal): Promise<Medium> {
    switch (part.type) {
      case "image":
        return this.#image(part);
      case "audio":
        return this.#audio(part, signal);
      case "video":
        return this.#video(part, signal);
    }
  }

  async #image({ image, detail }: ImagePart): Promise<Medium> {
    checkBlob(image, "image");
    const rules = within(readRules(this.#processor).image, detail);
    const key = `${await digestBlob(image)} image ${rules.maxSoftTokens}`;
    const { width, height } = targetSize(await imageSize(image), rules);
    const tokens = (width * height) / softTokenSide(rules) ** 2;
    const inputs = async () => pictureInputs(imageInputs(await decodeImage(image), rules), tokens);
    return { kind: "image", items: [{ tower: "image", key, tokens, inputs }], stamps: [], release: () => undefined };
  }

  async #audio({ audio, long = "segments" }: AudioPart, signal: Signal): Promise<Medium> {
    const sound = await this.#sound(audio, long, signal);
    return { kind: "audio", items: sound.items, stamps: [], release: sound.release };
  }

  async #video({ video, frames, detail, sound, long = "segments" }: VideoPart, signal: Signal): Promise<Medium> {
    checkBlob(video, "video");
    const rules = clipRules(readRules(this.#processor).video, frames, detail);
    const key = `${await digestBlob(video)} video ${rules.frames} ${rules.image.maxSoftTokens}`;
    const seen = new Decoded((signal) => decodeVideo(video, rules, { ...(signal && { signal }) }));
    const { tokens, stamps, hasSound } = await this.#shape(key, async () => shapeOf(await seen.get(signal)));
    if (sound && !hasSound) throw new MediaError(`${blobName(video, "The clip")} has no sound track to listen to.`);
    const heard =
      hasSound && (sound ?? this.#hears) ? await this.#sound(video, long, signal) : { items: [], release() {} };
    const pictures = tokens.map((count, index): Item => {
      const inputs = async (signal: Signal) =>
        pictureInputs((await seen.get(signal)).frames[index] as ImageInputs, count);
      return { tower: "image", key: `${key} ${index}`, tokens: count, inputs };
    });
    const release = () => {
      seen.release();
      heard.release();
    };
    return { kind: "video", items: [...pictures, ...heard.items], stamps, release };
  }

  async #sound(audio: AudioPart["audio"], long: LongAudio, signal: Signal): Promise<Pick<Medium, "items" | "release">> {
    const rules = audioRules(this.#processor);
    const key = `${await digestSound(audio)} audio`;
    const heard = new Decoded(async (signal) => hear(await samplesOf(audio, signal), rules, long));
    const { tokens } = await this.#shape(`${key} ${long}`, async () => ({
      tokens: (await heard.get(signal)).map(({ softTokens }) => softTokens),
      stamps: [],
      hasSound: true,
    }));
    const items = tokens.map((count, index): Item => {
      const inputs = async (signal: Signal) => soundInputs((await heard.get(signal))[index] as AudioInputs);
      return { tower: "audio", key: `${key} ${index}`, tokens: count, inputs };
    });
    return { items, release: () => heard.release() };
  }

  /** Counts once. */
  async #shape(key: string, count: () => Promise<Shape>): Promise<Shape> {
    const shape = this.#shapes.get(key) ?? (await count());
    this.#shapes.set(key, shape);
    return shape;
  }
}

/** The size of a picture by its header, which is as good as its decoder's, turned or not. */
async function imageSize(image: Blob): Promise<Size> {
  const header = readHeader(new Uint8Array(await image.slice(0, HEADER_BYTES).arrayBuffer()));
  // The decoder says what is wrong, where it is not only that the header is an unusually long one.
  if (!header || header.width === 0 || header.height === 0) return decodeImage(image);
  checkSize(header.width, header.height, blobName(image, "The picture"));
  return header;
}

function clipRules(rules: VideoRules, frames = rules.frames, detail?: number): VideoRules {
  const image = within(rules.image, detail);
  const bytes = frames * image.maxSoftTokens * softTokenSide(image) ** 2 * 3 * Float32Array.BYTES_PER_ELEMENT;
  if (bytes <= MOST_VIDEO_BYTES) return { image, frames };
  throw new UsageError(
    `${frames} frames of up to ${image.maxSoftTokens} tokens take too much memory. Choose fewer frames or less detail.`,
  );
}

function shapeOf({ frames, stamps, hasSound }: VideoInputs): Shape {
  return { tokens: frames.map(({ softTokens }) => softTokens), stamps, hasSound };
}

function pictureInputs({ patches, positions, softTokens }: ImageInputs, expected: number): TowerInputs {
  if (softTokens !== expected) {
    throw new MediaError("The picture has another size than its header says: it is damaged. Save it again.");
  }
  return { arrays: { pixel_values: patches, pixel_position_ids: positions }, rows: positions.length / 2 };
}

function soundInputs({ features, rows }: AudioInputs): TowerInputs {
  return { arrays: { input_features: features }, rows };
}

function within(rules: ImageRules, detail: number | undefined): ImageRules {
  return detail === undefined ? rules : withBudget(rules, detail);
}

/** All segments at once: a sound that cannot be used is refused before anything is encoded. */
function hear({ samples, rate }: Samples, rules: AudioRules, long: LongAudio): AudioInputs[] {
  return segments(resampleAudio(samples, rate, rules.rate), rules, long).map((part) => audioInputs(part, rules));
}

async function samplesOf(audio: AudioPart["audio"], signal: Signal): Promise<Samples> {
  return audio instanceof Blob ? decodeAudio(audio, signal ? { signal } : {}) : audio;
}

async function digestSound(audio: AudioPart["audio"]): Promise<string> {
  if (audio instanceof Blob) {
    checkBytes(audio, blobName(audio, "The sound"), MOST_FILE_BYTES);
    return digestBlob(audio);
  }
  checkSamples(audio);
  return digestBlob(new Blob([Uint32Array.of(audio.rate), audio.samples as BlobPart]));
}

function checkSamples(audio: Partial<Samples> | undefined): void {
  const { samples, rate = 0 } = audio ?? {};
  if (!(samples instanceof Float32Array)) {
    throw new UsageError('A part of type "audio" needs a Blob, or { samples: Float32Array, rate }, in "audio".');
  }
  if (!Number.isInteger(rate) || rate < LOWEST_RATE || rate > HIGHEST_RATE || samples.length > MOST_SAMPLES) {
    throw new UsageError(
      `Sound can have ${LOWEST_RATE} to ${HIGHEST_RATE} samples a second, a whole number, and ${MOST_SAMPLES} in all; ` +
        `these are ${samples.length} at a rate of ${rate}.`,
    );
  }
}

function checkBlob(blob: unknown, kind: MediaPart["type"]): void {
  if (!(blob instanceof Blob)) {
    throw new UsageError(`A part of type "${kind}" needs a Blob, such as a file, in "${kind}".`);
  }
  const name = blobName(blob, kind === "image" ? "The picture" : "The clip");
  checkBytes(blob, name, kind === "image" ? MOST_IMAGE_BYTES : MOST_FILE_BYTES);
}
