/**
 * Reads files as media of a conversation, by the rules of the bundle's processor_config.json. Mirrors
 * gemtab/chat/reader.py. Imported dynamically, at the first image, audio or video.
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
  MAX_FILE_BYTES,
  MAX_IMAGE_BYTES,
  MAX_SAMPLES,
  MAX_VIDEO_BYTES,
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

/** The bytes that hold the header of an image file, unless the header is unusual. */
const HEADER_BYTES = 1 << 20;

type Signal = AbortSignal | undefined;
type LongAudio = NonNullable<AudioPart["long"]>;

/** The token counts of a file. They are kept, so that the file is not decoded again while its rows are kept. */
interface Shape {
  /** The tokens of each image, frame or segment. */
  tokens: number[];
  stamps: string[];
  hasAudio: boolean;
}

/** Return the reader of a bundle's media. Throws BundleError where processor_config.json cannot be read. */
export async function openMediaReader(files: BundleFiles): Promise<MediaReader> {
  return new MediaReader(await files.json(PROCESSOR_CONFIG), files.manifest.towers.audio.length > 0);
}

/** Reads media by one processor_config.json. */
export class MediaReader {
  readonly #processor: unknown;
  readonly #hears: boolean;
  /** Shapes by digest and settings. */
  readonly #shapes = new Map<string, Shape>();

  /**
   * @param processor the parsed processor_config.json
   * @param hears whether the bundle takes audio, including the audio of videos
   */
  constructor(processor: unknown, hears: boolean) {
    this.#processor = processor;
    this.#hears = hears;
  }

  /**
   * Read as much of a file as is needed to count its tokens: an image is not decoded yet. Throws MediaError for an
   * unreadable file, UsageError for impossible settings, and AbortError.
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
    const inputs = async () => imageTowerInputs(imageInputs(await decodeImage(image), rules), tokens);
    return { kind: "image", items: [{ tower: "image", key, tokens, inputs }], stamps: [], release: () => undefined };
  }

  async #audio({ audio, long = "segments" }: AudioPart, signal: Signal): Promise<Medium> {
    const heard = await this.#heard(audio, long, signal);
    return { kind: "audio", items: heard.items, stamps: [], release: heard.release };
  }

  async #video({ video, frames, detail, audio, long = "segments" }: VideoPart, signal: Signal): Promise<Medium> {
    checkBlob(video, "video");
    const rules = videoRules(readRules(this.#processor).video, frames, detail);
    const key = `${await digestBlob(video)} video ${rules.frames} ${rules.image.maxSoftTokens}`;
    const seen = new Decoded((signal) => decodeVideo(video, rules, { ...(signal && { signal }) }));
    const { tokens, stamps, hasAudio } = await this.#shape(key, async () => shapeOf(await seen.get(signal)));
    if (audio && !hasAudio) throw new MediaError(`${blobName(video, "The video")} has no audio track to listen to.`);
    const heard =
      hasAudio && (audio ?? this.#hears) ? await this.#heard(video, long, signal) : { items: [], release() {} };
    const images = tokens.map((count, index): Item => {
      const inputs = async (signal: Signal) =>
        imageTowerInputs((await seen.get(signal)).frames[index] as ImageInputs, count);
      return { tower: "image", key: `${key} ${index}`, tokens: count, inputs };
    });
    const release = () => {
      seen.release();
      heard.release();
    };
    return { kind: "video", items: [...images, ...heard.items], stamps, release };
  }

  async #heard(audio: AudioPart["audio"], long: LongAudio, signal: Signal): Promise<Pick<Medium, "items" | "release">> {
    const rules = audioRules(this.#processor);
    const key = `${await digestAudio(audio)} audio`;
    const heard = new Decoded(async (signal) => hear(await samplesOf(audio, signal), rules, long));
    const { tokens } = await this.#shape(`${key} ${long}`, async () => ({
      tokens: (await heard.get(signal)).map(({ softTokens }) => softTokens),
      stamps: [],
      hasAudio: true,
    }));
    const items = tokens.map((count, index): Item => {
      const inputs = async (signal: Signal) => audioTowerInputs((await heard.get(signal))[index] as AudioInputs);
      return { tower: "audio", key: `${key} ${index}`, tokens: count, inputs };
    });
    return { items, release: () => heard.release() };
  }

  /** Return the counted shape; count at most once. */
  async #shape(key: string, count: () => Promise<Shape>): Promise<Shape> {
    const shape = this.#shapes.get(key) ?? (await count());
    this.#shapes.set(key, shape);
    return shape;
  }
}

/** Return the size of an image by its header. The header's size equals the decoder's, rotated or not. */
async function imageSize(image: Blob): Promise<Size> {
  const header = readHeader(new Uint8Array(await image.slice(0, HEADER_BYTES).arrayBuffer()));
  // If the header is not merely long, the decoder reports the error.
  if (!header || header.width === 0 || header.height === 0) return decodeImage(image);
  checkSize(header.width, header.height, blobName(image, "The image"));
  return header;
}

function videoRules(rules: VideoRules, frames = rules.frames, detail?: number): VideoRules {
  const image = within(rules.image, detail);
  const bytes = frames * image.maxSoftTokens * softTokenSide(image) ** 2 * 3 * Float32Array.BYTES_PER_ELEMENT;
  if (bytes <= MAX_VIDEO_BYTES) return { image, frames };
  throw new UsageError(
    `${frames} frames of up to ${image.maxSoftTokens} tokens take too much memory. Choose fewer frames or less detail.`,
  );
}

function shapeOf({ frames, stamps, hasAudio }: VideoInputs): Shape {
  return { tokens: frames.map(({ softTokens }) => softTokens), stamps, hasAudio };
}

function imageTowerInputs({ patches, positions, softTokens }: ImageInputs, expected: number): TowerInputs {
  if (softTokens !== expected) {
    throw new MediaError("The image has another size than its header says: it is damaged. Save it again.");
  }
  return { arrays: { pixel_values: patches, pixel_position_ids: positions }, rows: positions.length / 2 };
}

function audioTowerInputs({ features, rows }: AudioInputs): TowerInputs {
  return { arrays: { input_features: features }, rows };
}

function within(rules: ImageRules, detail: number | undefined): ImageRules {
  return detail === undefined ? rules : withBudget(rules, detail);
}

/** Prepare all segments at once: unusable audio is rejected before anything is encoded. */
function hear({ samples, rate }: Samples, rules: AudioRules, long: LongAudio): AudioInputs[] {
  return segments(resampleAudio(samples, rate, rules.rate), rules, long).map((part) => audioInputs(part, rules));
}

async function samplesOf(audio: AudioPart["audio"], signal: Signal): Promise<Samples> {
  return audio instanceof Blob ? decodeAudio(audio, signal ? { signal } : {}) : audio;
}

async function digestAudio(audio: AudioPart["audio"]): Promise<string> {
  if (audio instanceof Blob) {
    checkBytes(audio, blobName(audio, "The audio"), MAX_FILE_BYTES);
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
  if (!Number.isInteger(rate) || rate < LOWEST_RATE || rate > HIGHEST_RATE || samples.length > MAX_SAMPLES) {
    throw new UsageError(
      `Audio can have ${LOWEST_RATE} to ${HIGHEST_RATE} samples a second, a whole number, and at most ${MAX_SAMPLES} samples; ` +
        `found ${samples.length} samples at a rate of ${rate}.`,
    );
  }
}

function checkBlob(blob: unknown, kind: MediaPart["type"]): void {
  if (!(blob instanceof Blob)) {
    throw new UsageError(`A part of type "${kind}" needs a Blob, such as a file, in "${kind}".`);
  }
  const name = blobName(blob, kind === "image" ? "The image" : "The video");
  checkBytes(blob, name, kind === "image" ? MAX_IMAGE_BYTES : MAX_FILE_BYTES);
}
