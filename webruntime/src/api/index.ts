/**
 * gemtab: a Gemma 4 bundle in the visitor's tab.
 *
 *     import { Gemma } from "gemtab";
 *
 *     const gemma = await Gemma.load("bundles/tiny/", { onProgress: console.log });
 *     const chat = gemma.chat({ system: "Be brief." });
 *     for await (const part of chat.send("Hello!")) if (part.type === "text") console.log(part.text);
 *     const image = await (await fetch("cat.jpg")).blob();
 *     for await (const part of chat.send([{ type: "image", image }, { type: "text", text: "What is this?" }])) …
 *     await gemma.dispose();
 */

export type { AdapterSummary, EngineStats, LoadProgress, LoadStage, Sampling } from "../engine/engine-interface.ts";
export {
  AbortError,
  BundleError,
  ContextError,
  DeviceError,
  GemtabError,
  InternalError,
  MediaError,
  UsageError,
} from "../engine/errors.ts";
export type { Manifest } from "../engine/manifest.gen.ts";
export type {
  AudioPart,
  ChatMessage,
  ChatResult,
  ChatStats,
  Content,
  ContentPart,
  ImageDetail,
  ImagePart,
  MediaEvent,
  MediaKind,
  MediaPart,
  ModelInfo,
  Samples,
  TextPart,
  ToolCall,
  VideoPart,
} from "../worker/protocol.ts";
export { type AnswerOptions, Chat, type ChatOptions, type Part, type SendOptions } from "./chat.ts";
export { Gemma, type LoadOptions } from "./gemma.ts";
export { type Preview, preview } from "./preview.ts";
