/**
 * Weights made up: what a kernel takes does not depend on what they say, so a bundle can travel without them.
 *
 * The numbers are such that a model computes with numbers that are neither infinite nor all the same: codes are any
 * bytes, scales are near 1/128, other values between 0.5 and 1.5 with either sign. Every byte follows from its offset
 * and from the bundle's plan, so digests can be stated before the weights are there.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";

const BLOCK = 1 << 20;

/** Whether a bundle's file holds weights. */
export function isWeights(name) {
  return /\.onnx_data(_\d+)?$/.test(name);
}

/** xorshift, from a fixed seed. */
function* words(state = 0x9e3779b9) {
  for (;;) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state >>> 0;
  }
}

/** Blocks of one mebibyte, by the kind of what they stand for. */
function makeBlocks() {
  const random = words();
  const block = (word) => Buffer.from(Uint32Array.from({ length: BLOCK / 4 }, () => word(random.next().value)).buffer);
  const half = (bits) => 0x1c00 + (bits & 0x7ff);
  return {
    codes: block((bits) => bits),
    // Two f16 from 2^-8 to 2^-6.
    halves: block((bits) => (half(bits >>> 16) << 16) | half(bits)),
    // An f32 from 2^-8 to 2^-6.
    singles: block((bits) => 0x3b800000 + (bits & 0xffffff)),
    // An f32 from 0.5 to 1.5, of which the halves are small as f16.
    values: block((bits) => (bits & 0x80000000) | (0x3f000000 + (bits & 0xbf0000)) | half(bits)),
  };
}

export class MadeUpWeights {
  #manifest;
  #folder;
  #regions = new Map();
  #blocks;

  /** folder: a bundle, whose weights need not be there. */
  constructor(folder) {
    this.#folder = folder;
    this.#manifest = JSON.parse(readFileSync(join(folder, "gemtab.json"), "utf8"));
  }

  /** The names of the files with weights. */
  get files() {
    return Object.keys(this.#manifest.files).filter(isWeights);
  }

  /** The size of a file, or undefined for one that the manifest does not name. */
  bytes(name) {
    return this.#manifest.files[name]?.bytes;
  }

  /** The bytes of a file from `start` to before `end`, in parts. */
  *read(name, start, end) {
    for (let at = start; at < end; ) {
      const stop = Math.min(end, (Math.floor(at / BLOCK) + 1) * BLOCK);
      yield this.#part(name, at, stop);
      at = stop;
    }
  }

  /** Bytes `start` to `end`, all in one block. */
  #part(name, start, end) {
    this.#blocks ??= makeBlocks();
    const block = Math.floor(start / BLOCK) * BLOCK;
    const part = Buffer.from(this.#blocks.codes.subarray(start - block, end - block));
    for (const { kind, offset, bytes } of this.#regionsOf(name)) {
      const [from, to] = [Math.max(start, offset), Math.min(end, offset + bytes)];
      if (from < to) this.#blocks[kind].copy(part, from - start, from - block, to - block);
    }
    return part;
  }

  /** The parts of a file that are not codes. */
  #regionsOf(name) {
    if (this.#regions.size === 0) {
      const plan = JSON.parse(readFileSync(join(this.#folder, this.#manifest.plans[0].file), "utf8"));
      for (const [label, buffer] of Object.entries(plan.buffers)) {
        const kind = this.#kind(label);
        if (buffer.kind !== "weight" || !kind) continue;
        const regions = this.#regions.get(buffer.file) ?? [];
        regions.push({ kind, offset: buffer.offset, bytes: buffer.bytes });
        this.#regions.set(buffer.file, regions);
      }
    }
    return this.#regions.get(name) ?? [];
  }

  /** The kind of a buffer by its label, which names the weight and its plane; undefined for codes. */
  #kind(label) {
    const plane = label.split(":")[1];
    if (plane === "scales") return this.#manifest.weights === "qat" ? "singles" : "halves";
    return plane === "values" ? "values" : undefined;
  }
}
