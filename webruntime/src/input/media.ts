/** All code that reads media. Imported dynamically, at the first image, audio or video. */

export { BUDGETS } from "../facts.gen.ts";
export { type DecodedAudio, decodeAudio, mixToMono } from "./audio/decode.ts";
export { type AudioInputs, audioInputs, segments } from "./audio/inputs.ts";
export { resample as resampleAudio } from "./audio/resample.ts";
export { type AudioRules, audioRules, audioTokens } from "./audio/rules.ts";
export { decodeImage } from "./image/decode.ts";
export { type ImageInputs, imageInputs } from "./image/inputs.ts";
export { type RgbImage, resize } from "./image/resample.ts";
export {
  type ImageRules,
  type MediaRules,
  readRules,
  type Size,
  softTokenSide,
  targetSize,
  type VideoRules,
  withBudget,
} from "./image/rules.ts";
export { kindOfFile } from "./kind.ts";
export { MAX_PIXELS } from "./limits.ts";
export { decodeVideo, type VideoInputs, type VideoOptions } from "./video/decode.ts";
