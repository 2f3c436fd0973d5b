/**
 * gemtab/engine: a bundle's text model on the page's own thread, from token ids to token ids. No tokenizer, no template, no
 * worker: for pages that have their own, and for measurements.
 *
 *     import { TextEngine } from "gemtab/engine";
 *
 *     const engine = await TextEngine.load("bundles/tiny/");
 *     engine.setSampling({ temperature: 0, topK: 0, topP: 1, seed: 0 });
 *     await engine.fill(ids.slice(0, -1));
 *     for await (const id of engine.decode(ids[ids.length - 1], { maxTokens: 16 })) console.log(id);
 *     engine.dispose();
 */

export {
  AbortError,
  BundleError,
  ContextError,
  DeviceError,
  GemtabError,
  InternalError,
  UsageError,
} from "../errors.ts";
export type { AdapterSummary, EngineStats, LoadOptions, LoadProgress, Sampling, TowerName } from "../messages.ts";
export type {
  DecodeOptions,
  FillOptions,
  InputShape,
  MediaRows,
  PositionedRows,
  Snapshot,
  Tower,
} from "./interface.ts";
export type { EngineLoadOptions } from "./load.ts";
export { TextEngine } from "./text-engine.ts";
