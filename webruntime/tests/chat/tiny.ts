/** The tiny model's tokenizer and template, and an engine that only records its calls. */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { BundleFiles } from "../../src/bundle/files.ts";
import type {
  DecodeOptions,
  FillOptions,
  InputShape,
  MediaRows,
  PositionedRows,
  Snapshot,
  TextEngine,
  Tower,
} from "../../src/engine/interface.ts";
import { DeviceError, throwIfAborted } from "../../src/errors.ts";
import { ChatTemplate } from "../../src/input/chat-template.ts";
import type { Item, Medium } from "../../src/input/medium.ts";
import { Tokenizer } from "../../src/input/tokenizer.ts";
import type { LoadOptions, TowerName } from "../../src/messages.ts";
import { toyManifest } from "../bundle/toy-bundle.ts";

const folder = resolve(import.meta.dirname, "../../../models/tiny");
const read = (file: string) => readFileSync(resolve(folder, file), "utf8");

export const tokenizerConfig = JSON.parse(read("tokenizer_config.json"));
export const tokenizer = new Tokenizer(JSON.parse(read("tokenizer.json")));
export const template = new ChatTemplate(read("chat_template.jinja"), tokenizerConfig);
export const processor = JSON.parse(read("processor_config.json"));

/** An image, video frame or audio segment without content. */
export function item(tower: TowerName, tokens: number, key = "a"): Item {
  return { tower, key, tokens, inputs: async () => ({ arrays: { content: Float32Array.of(tokens) }, rows: tokens }) };
}

export function medium(kind: Medium["kind"], items: Item[], stamps: string[] = []): Medium {
  return { kind, items, stamps, release: () => undefined };
}

const files: BundleFiles = {
  url: "https://example.com/tiny/",
  manifest: { ...toyManifest(new Map()), inputs: ["text", "image", "audio", "video"] },
  has: () => true,
  text: async (file) => read(file),
  json: async (file) => JSON.parse(read(file)),
};

export interface Rows extends MediaRows {
  disposed: boolean;
}

/** An engine whose every answer is only the stop id. Its caches can go back to any position. */
export class NotingEngine implements TextEngine {
  readonly files = files;
  readonly adapter = { vendor: "", architecture: "", description: "", software: false, features: [] };
  readonly context = 1024;
  readonly vocabulary = 2048;
  readonly stats = {
    activation: "f32" as const,
    embeddings: "gpu" as const,
    weightBytes: 0,
    stateBytes: 0,
    scratchBytes: 0,
    towerBytes: 0,
    gpuBytes: 0,
    dispatches: {},
  };
  readonly lost = new Promise<DeviceError>(() => undefined);
  stalled: TextEngine["stalled"];
  towerTokens: Partial<Record<TowerName, number>> = { image: 300, audio: 750 };
  blockTokens: number | undefined;
  position = 0;
  /** The recorded calls. */
  readonly fills: { ids: number[]; media: readonly PositionedRows[] }[] = [];
  readonly loads: TowerName[] = [];
  readonly encoded: { tower: TowerName; shape: InputShape; rows: Rows }[] = [];
  /** The error of the next encoding. */
  failure: Error | undefined;
  bytesPerToken = 8;

  async fill(ids: Uint32Array, { media = [], signal, onChunk }: FillOptions = {}): Promise<void> {
    throwIfAborted(signal);
    if (media.some(({ rows }) => (rows as Rows).disposed)) throw new DeviceError("Rows were disposed of too early.");
    this.fills.push({ ids: [...ids], media });
    this.position += ids.length;
    onChunk?.(ids.length);
  }

  async tower(name: TowerName, { onProgress }: Omit<LoadOptions, "context"> = {}): Promise<Tower> {
    if (!this.loads.includes(name)) {
      this.loads.push(name);
      for (const stage of ["download", "ready"] as const)
        onProgress?.({ stage, loaded: 1, total: 2, bytesPerSecond: 0 });
    }
    return { encode: (_, shape) => this.#encode(name, shape) };
  }

  async #encode(tower: TowerName, shape: InputShape): Promise<Rows> {
    const { failure } = this;
    this.failure = undefined;
    if (failure) throw failure;
    const rows: Rows = {
      tokens: shape.tokens,
      bytes: shape.tokens * this.bytesPerToken,
      disposed: false,
      dispose: () => {
        rows.disposed = true;
      },
    };
    this.encoded.push({ tower, shape, rows });
    return rows;
  }

  async *decode(_: number, { signal }: DecodeOptions = {}): AsyncGenerator<number, void, void> {
    throwIfAborted(signal);
    this.position++;
    yield 1;
  }

  async snapshot(): Promise<Snapshot> {
    return { position: this.position, bytes: 0, dispose: () => undefined };
  }

  restore({ position }: Snapshot): void {
    this.position = position;
  }

  canRewind(): boolean {
    return true;
  }

  rewind(to: number): void {
    this.position = to;
  }

  reset(): void {
    this.position = 0;
  }

  setSampling(): void {}

  async readLogits(): Promise<Float32Array> {
    return new Float32Array(this.vocabulary);
  }

  async swapShader(): Promise<void> {}

  dispose(): void {}
}
