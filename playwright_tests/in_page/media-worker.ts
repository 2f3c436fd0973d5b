/** The code that reads media as a worker's script, which handles the calls of media.ts. */

import type { MediaRules } from "../../webruntime/src/input/media.ts";
import * as media from "../../webruntime/src/input/media.ts";
import type { Answer, Asked } from "./media.ts";
import { base64Of } from "./site.ts";

interface Given {
  processor: unknown;
  rate: number;
  lengths: number[];
  rules: MediaRules["image"] & MediaRules["video"];
  options: media.VideoOptions;
  lacking: string[];
  width: number;
  height: number;
  toWidth: number;
  toHeight: number;
  sizes: [number, number][];
  budgets: number[];
}

const FUNCTIONS = {
  decodeAudio: (_: Given, file: File) => media.decodeAudio(file),
  decodeImage: (_: Given, file: File) => media.decodeImage(file),
  prepareVideo: ({ rules, options }: Given, file: File) => media.decodeVideo(file, rules, options),
  stoppedVideo: ({ rules }: Given, file: File) => media.decodeVideo(file, rules, { signal: AbortSignal.abort() }),

  async hear({ processor }: Given, file: File) {
    const rules = media.audioRules(processor);
    const { samples, rate } = await media.decodeAudio(file);
    const heard = media.resampleAudio(samples, rate, rules.rate);
    return { samples, rate, segments: media.segments(heard, rules).map((each) => media.audioInputs(each, rules)) };
  },

  async hearWhole(_: Given, file: File) {
    const rules = media.audioRules({ feature_extractor: {} });
    const { samples, rate } = await media.decodeAudio(file);
    return media.audioInputs(media.resampleAudio(samples, rate, rules.rate), rules);
  },

  async resampleAudio({ rate }: Given, file: File) {
    return media.resampleAudio(new Float32Array(await file.arrayBuffer()), rate, 16000);
  },

  audioTokens({ processor, lengths }: Given) {
    return lengths.map((length) => media.audioTokens(length, media.audioRules(processor)));
  },

  stopAudio(_: Given, file: File) {
    const controller = new AbortController();
    const decoded = media.decodeAudio(file, { signal: controller.signal });
    setTimeout(() => controller.abort());
    return decoded;
  },

  async prepareImage({ rules }: Given, file: File) {
    return media.imageInputs(await media.decodeImage(file), rules);
  },

  /** Decode as in a browser without these classes and kinds of canvas contexts. */
  decodeImageWithout({ lacking }: Given, file: File) {
    for (const name of lacking) Object.assign(globalThis, { [name]: undefined });
    const prototype: { getContext(kind: string, options: unknown): unknown } = OffscreenCanvas.prototype as never;
    const { getContext } = prototype;
    prototype.getContext = function (kind, options) {
      return lacking.includes(kind) ? null : getContext.call(this, kind, options);
    };
    return media.decodeImage(file);
  },

  async resizeImage({ width, height, toWidth, toHeight }: Given, file: File) {
    const data = new Uint8Array(await file.arrayBuffer());
    return media.resize({ width, height, data } as media.RgbImage, toWidth, toHeight).data;
  },

  targetSizes({ sizes, budgets, rules }: Given) {
    const target = (height: number, width: number, maxSoftTokens: number) => {
      const size = media.targetSize({ width, height }, { ...rules, maxSoftTokens });
      return [size.height, size.width];
    };
    return sizes.map(([height, width]) => budgets.map((budget) => target(height, width, budget)));
  },
};

/** Return a value with typed arrays as their classes and bytes. */
function packed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(packed);
  if (value === null || typeof value !== "object") return value;
  if (!ArrayBuffer.isView(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, packed(each)]));
  }
  const raw = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return { array: value.constructor.name, base64: base64Of(raw) };
}

async function answer({ name, given, file }: Asked): Promise<Answer> {
  try {
    const run: (given: Given, file: File) => unknown = FUNCTIONS[name as keyof typeof FUNCTIONS];
    return { value: packed(await run(given as never, file)) };
  } catch (error) {
    const { name, message } = error as Error;
    return { error: name, message };
  }
}

globalThis.onmessage = async ({ data }: MessageEvent<Asked>) => postMessage(await answer(data));
