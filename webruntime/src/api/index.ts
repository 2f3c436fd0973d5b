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

export type { Manifest } from "../bundle/manifest.gen.ts";
export {
  AbortError,
  BundleError,
  ContextError,
  DeviceError,
  GemtabError,
  InternalError,
  MediaError,
  UsageError,
} from "../errors.ts";
export type {
  AdapterSummary,
  AudioPart,
  ChatMessage,
  ChatResult,
  ChatStats,
  Content,
  ContentPart,
  EngineStats,
  ImageDetail,
  ImagePart,
  LoadProgress,
  LoadStage,
  MediaEvent,
  MediaKind,
  MediaPart,
  Samples,
  Sampling,
  TextPart,
  ToolCall,
  VideoPart,
} from "../messages.ts";
export type { ModelInfo } from "../worker/protocol.ts";
export { type AnswerOptions, Chat, type ChatOptions, type Part, type SendOptions } from "./chat.ts";
export { Gemma, type LoadOptions } from "./gemma.ts";
export { type Preview, preview } from "./preview.ts";
