/**
 * Host-resident per-layer embeddings. A step needs one row per token, so a GPU with little memory keeps the rows of the
 * most recently used ids alone, most of which come again.
 *
 * The embeddings are stored in the origin-private file system, which no other origin and no other program can write to. A
 * file is written from verified slices, and its name is made from their digests. A writer replaces the file atomically when
 * it is closed. So a file of that name has the bytes that the manifest states: rows are read without another check, and the
 * next load does not download the file again.
 */

import type { Bundle } from "../bundle/bundle.ts";
import type { Plan, RowsBuffer } from "../bundle/plan.gen.ts";
import { wantedRuns } from "../bundle/slices.ts";
import { BundleError, causeOf, StorageError, UsageError } from "../errors.ts";
import type { Target } from "./weights.ts";

const FOLDER = "gemtab-embeddings";
const WORD = 4;

/** The storage for embeddings; undefined if the browser has no storage for the page that can be read in parts. */
export async function openEmbeddingsStorage(): Promise<FileSystemDirectoryHandle | undefined> {
  if (!("createWritable" in (globalThis.FileSystemFileHandle?.prototype ?? {}))) return undefined;
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle(FOLDER, { create: true });
  } catch {
    // Private windows of some browsers have the interface but refuse it.
    return undefined;
  }
}

/** A write to a GPU buffer. */
export interface RowsWrite {
  /** The buffer's name in the plan. */
  buffer: string;
  /** The first byte in the buffer, a multiple of 4. */
  offset: number;
  /** The bytes, whole words. */
  bytes: Uint8Array<ArrayBuffer>;
}

/** The host-resident embeddings of a plan, and the slots of their rows on the GPU. */
export class HostEmbeddings {
  readonly #stored: ReadonlyMap<string, StoredEmbeddings>;
  readonly #slots: Slots;

  private constructor(stored: ReadonlyMap<string, StoredEmbeddings>) {
    this.#stored = stored;
    this.#slots = new Slots(Math.min(...Array.from(stored.values(), ({ slots }) => slots)));
  }

  /**
   * Opens the stored embeddings, and reserves storage for missing ones.
   *
   * @throws StorageError, before the download, if the browser has too little storage
   */
  static async open(bundle: Bundle, plan: Plan, storage: FileSystemDirectoryHandle): Promise<HostEmbeddings> {
    const stored = new Map<string, StoredEmbeddings>();
    try {
      for (const [name, entry] of Object.entries(plan.buffers)) {
        if (entry.kind === "rows") stored.set(name, await StoredEmbeddings.open(bundle, entry, storage));
      }
    } catch (error) {
      for (const one of stored.values()) await one.abandon();
      throw error;
    }
    return new HostEmbeddings(stored);
  }

  /** The parts of files to download. Stored embeddings need none. */
  targets(): [file: string, target: Target][] {
    return [...this.#stored.values()].flatMap((one) => one.target ?? []);
  }

  /** Closes the files after the download. Throws StorageError. */
  async finish(): Promise<void> {
    for (const one of this.#stored.values()) await one.finish();
  }

  /** Discards an incomplete download after loading failed. */
  async abandon(): Promise<void> {
    for (const one of this.#stored.values()) await one.abandon();
  }

  /**
   * Gives each id a slot. Returns the slots of the ids, and the writes that must be done before the step. Calls must not
   * overlap. A call that throws changes nothing.
   *
   * @throws BundleError if the browser has deleted the stored embeddings, UsageError for an unknown id
   */
  async place(ids: Uint32Array): Promise<{ slots: Uint32Array<ArrayBuffer>; writes: RowsWrite[] }> {
    const missing = this.#slots.missing(ids);
    const reading = Array.from(this.#stored, async ([name, one]) => ({
      name,
      one,
      rows: await one.rows(missing),
    }));
    const read = await Promise.all(reading);
    const taken = this.#slots.take(ids, missing);
    const spans = joined(taken);
    const writes = read.flatMap(({ name, one, rows }) =>
      one.put(rows, taken, spans).map((write) => ({ buffer: name, ...write })),
    );
    return { slots: this.#slots.of(ids), writes };
  }
}

/** Slots `first` … `stop` - 1. */
type Stretch = readonly [first: number, stop: number];

/** The ids whose rows are in slots on the GPU: a least-recently-used cache. */
class Slots {
  /** Slots by id, the least recently used first. */
  readonly #of = new Map<number, number>();

  constructor(private readonly count: number) {}

  /** The ids without slot, each once. */
  missing(ids: Uint32Array): number[] {
    return [...new Set(ids)].filter((id) => !this.#of.has(id));
  }

  /** Gives slots to `missing`, the ids without slot among `ids`: free ones, or those of the least recently used ids. */
  take(ids: Uint32Array, missing: readonly number[]): number[] {
    for (const id of ids) {
      const slot = this.#of.get(id);
      if (slot === undefined) continue;
      this.#of.delete(id);
      this.#of.set(id, slot);
    }
    return missing.map((id) => {
      const [oldest = 0] = this.#of.keys();
      const slot = this.#of.size < this.count ? this.#of.size : (this.#of.get(oldest) ?? 0);
      if (this.#of.size === this.count) this.#of.delete(oldest);
      this.#of.set(id, slot);
      return slot;
    });
  }

  /** The slots of ids, all of which have one. */
  of(ids: Uint32Array): Uint32Array<ArrayBuffer> {
    return Uint32Array.from(ids, (id) => this.#of.get(id) ?? 0);
  }
}

/** Numbers as ascending spans of consecutive ones. */
function joined(slots: readonly number[]): Stretch[] {
  const spans: [number, number][] = [];
  for (const slot of [...slots].sort((left, right) => left - right)) {
    const last = spans.at(-1);
    if (last?.[1] === slot) last[1] = slot + 1;
    else spans.push([slot, slot + 1]);
  }
  return spans;
}

/** The embeddings of one RowsBuffer in a file of the browser's storage. */
class StoredEmbeddings {
  #writer: FileSystemWritableFileStream | undefined;
  /** The file's content when it was opened. */
  #file: File | undefined;
  /** A copy of the GPU buffer: rows need not be whole words, but writes to the GPU must be. */
  readonly #copy: Uint8Array<ArrayBuffer>;

  private constructor(
    private readonly entry: RowsBuffer,
    private readonly handle: FileSystemFileHandle,
  ) {
    this.#copy = new Uint8Array(entry.bytes);
  }

  static async open(bundle: Bundle, entry: RowsBuffer, storage: FileSystemDirectoryHandle): Promise<StoredEmbeddings> {
    const name = await nameOf(bundle, entry);
    let one: StoredEmbeddings | undefined;
    try {
      const handle = await storage.getFileHandle(name, { create: true });
      one = new StoredEmbeddings(entry, handle);
      const file = await handle.getFile();
      if (file.size === bytesOf(entry)) one.#file = file;
      else await one.#begin();
      return one;
    } catch (error) {
      await one?.abandon();
      throw unstored(entry, error);
    }
  }

  /** Reserves the file's size, since the free storage that browsers report is not reliable. */
  async #begin(): Promise<void> {
    this.#writer = await this.handle.createWritable();
    await this.#writer.truncate(bytesOf(this.entry));
  }

  get target(): [[file: string, target: Target]] | undefined {
    const writer = this.#writer;
    if (!writer) return undefined;
    const { file, offset } = this.entry;
    const write = async (position: number, data: Uint8Array<ArrayBuffer>) => {
      await writer.write({ type: "write", position, data }).catch((error: unknown) => {
        throw unstored(this.entry, error);
      });
    };
    return [[file, { offset, bytes: bytesOf(this.entry), write }]];
  }

  async finish(): Promise<void> {
    if (!this.#writer) return;
    await this.#writer.close().catch((error: unknown) => {
      throw unstored(this.entry, error);
    });
    this.#writer = undefined;
    this.#file = await this.#reopened();
  }

  async abandon(): Promise<void> {
    await this.#writer?.abort().catch(() => undefined);
  }

  get slots(): number {
    return this.entry.slots;
  }

  /** The rows of these ids. */
  rows(ids: readonly number[]): Promise<Uint8Array[]> {
    const { replaced, replacement } = this.entry;
    return Promise.all(ids.map((id) => this.#row(replaced.includes(id) ? replacement : id)));
  }

  /** The writes that put `rows[i]` into slot `slots[i]`. spans: the same slots, joined. */
  put(rows: readonly Uint8Array[], slots: readonly number[], spans: readonly Stretch[]): Omit<RowsWrite, "buffer">[] {
    const { row_bytes: rowBytes } = this.entry;
    slots.forEach((slot, index) => {
      this.#copy.set(rows[index] ?? [], slot * rowBytes);
    });
    return spans.map(([first, stop]) => {
      const offset = Math.floor((first * rowBytes) / WORD) * WORD;
      return { offset, bytes: this.#copy.subarray(offset, Math.ceil((stop * rowBytes) / WORD) * WORD) };
    });
  }

  async #row(id: number): Promise<Uint8Array> {
    const { row_bytes: rowBytes, rows } = this.entry;
    if (id >= rows) throw new UsageError(`Token id ${id} is outside the ${rows} rows of the embeddings.`);
    const read = async (file: File | undefined) => {
      if (!file) throw new UsageError("Embeddings are read before they are stored.");
      return new Uint8Array(await file.slice(id * rowBytes, (id + 1) * rowBytes).arrayBuffer());
    };
    try {
      return await read(this.#file);
    } catch {
      // Another tab that loaded the same bundle has replaced the open file with the same bytes.
      this.#file = await this.#reopened();
      return read(this.#file).catch(() => {
        throw this.#deleted();
      });
    }
  }

  async #reopened(): Promise<File> {
    const file = await this.handle.getFile().catch(() => undefined);
    if (file?.size === bytesOf(this.entry)) return file;
    throw this.#deleted();
  }

  #deleted(): BundleError {
    return new BundleError(
      `The browser has deleted its copy of the per-layer embeddings of ${this.entry.file}. Load the model again.`,
      this.entry.file,
    );
  }
}

function unstored(entry: RowsBuffer, error: unknown): StorageError {
  return new StorageError(
    `The browser has no storage for ${bytesOf(entry)} bytes of the model's per-layer embeddings (${causeOf(error)}). Open ` +
      "the page outside a private window, free some storage, or choose a smaller model.",
  );
}

function bytesOf({ rows, row_bytes }: RowsBuffer): number {
  return rows * row_bytes;
}

/** The file's name: a digest of the embeddings' location and bytes. */
async function nameOf({ manifest }: Bundle, entry: RowsBuffer): Promise<string> {
  const file = manifest.files[entry.file];
  if (!file) throw new BundleError(`The manifest does not list ${entry.file}.`, entry.file);
  const region = { offset: entry.offset, bytes: bytesOf(entry) };
  const [[first, last] = [0, 0]] = wantedRuns(file, [region]);
  const digests = file.sha256.slice(first, last + 1);
  const identity = JSON.stringify([region, first, file.slice_bytes, file.bytes, digests]);
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(identity));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
