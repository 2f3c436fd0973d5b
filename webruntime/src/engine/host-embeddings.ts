/**
 * Look-up tables that stay on the host: of these a step needs one row a token, so a GPU that is short of memory does
 * better to be handed the rows. It keeps those of the ids that came last, of which most come again.
 *
 * They lie in the origin-private file system, which no other origin and no other program writes to. A table gets there
 * from slices whose SHA-256 was found right, under a name made of those digests, and a writer's bytes become the file
 * only when it is closed, all at once: what is found under the name later is what the manifest promises. So rows are
 * read from it without another check, and the next load need not download it again.
 */

import type { Bundle } from "../bundle/bundle.ts";
import type { Plan, RowsBuffer } from "../bundle/plan.gen.ts";
import { wantedRuns } from "../bundle/slices.ts";
import { BundleError, causeOf, StorageError, UsageError } from "../errors.ts";
import type { Target } from "./weights.ts";

const FOLDER = "gemtab-embeddings";
const WORD = 4;

/** Where tables are kept; undefined where the browser gives the page no storage that can be read by parts. */
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

/** Bytes that a GPU buffer has to have from `offset` on. */
export interface RowsWrite {
  buffer: string;
  offset: number;
  bytes: Uint8Array<ArrayBuffer>;
}

/** The tables of a plan. */
export class HostEmbeddings {
  readonly #tables: ReadonlyMap<string, StoredEmbeddings>;
  readonly #slots: Slots;

  private constructor(tables: ReadonlyMap<string, StoredEmbeddings>) {
    this.#tables = tables;
    this.#slots = new Slots(Math.min(...Array.from(tables.values(), ({ slots }) => slots)));
  }

  /** Throws DeviceError, before anything is downloaded, where the browser has no room for what is not stored yet. */
  static async open(bundle: Bundle, plan: Plan, storage: FileSystemDirectoryHandle): Promise<HostEmbeddings> {
    const tables = new Map<string, StoredEmbeddings>();
    try {
      for (const [name, entry] of Object.entries(plan.buffers)) {
        if (entry.kind === "rows") tables.set(name, await StoredEmbeddings.open(bundle, entry, storage));
      }
    } catch (error) {
      for (const table of tables.values()) await table.abandon();
      throw error;
    }
    return new HostEmbeddings(tables);
  }

  /** What has to be downloaded, by file: nothing of a table that is stored already. */
  targets(): [file: string, target: Target][] {
    return [...this.#tables.values()].flatMap((table) => table.target ?? []);
  }

  /** Everything came in. */
  async finish(): Promise<void> {
    for (const table of this.#tables.values()) await table.finish();
  }

  /** Loading failed: what came in so far is dropped. */
  async abandon(): Promise<void> {
    for (const table of this.#tables.values()) await table.abandon();
  }

  /**
   * Where the rows of these ids are, and what has to be written before, which is taken as done. Calls must not overlap;
   * one that throws changes nothing.
   */
  async place(ids: Uint32Array): Promise<{ slots: Uint32Array<ArrayBuffer>; writes: RowsWrite[] }> {
    const missing = this.#slots.missing(ids);
    const reading = Array.from(this.#tables, async ([name, table]) => ({
      name,
      table,
      rows: await table.rows(missing),
    }));
    const read = await Promise.all(reading);
    const taken = this.#slots.take(ids, missing);
    const spans = joined(taken);
    const writes = read.flatMap(({ name, table, rows }) =>
      table.put(rows, taken, spans).map((write) => ({ buffer: name, ...write })),
    );
    return { slots: this.#slots.of(ids), writes };
  }
}

/** Slots from `first` to before `stop`. */
type Stretch = readonly [first: number, stop: number];

/** Which ids' rows are where on the GPU. */
class Slots {
  /** Those that were needed longest ago come first. */
  readonly #of = new Map<number, number>();

  constructor(private readonly count: number) {}

  missing(ids: Uint32Array): number[] {
    return [...new Set(ids)].filter((id) => !this.#of.has(id));
  }

  /** Gives `missing`, which are all of `ids` that have no slot, those of ids that were needed longest ago. */
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

  of(ids: Uint32Array): Uint32Array<ArrayBuffer> {
    return Uint32Array.from(ids, (id) => this.#of.get(id) ?? 0);
  }
}

/** Numbers as spans of those that follow each other. */
function joined(slots: readonly number[]): Stretch[] {
  const spans: [number, number][] = [];
  for (const slot of [...slots].sort((left, right) => left - right)) {
    const last = spans.at(-1);
    if (last?.[1] === slot) last[1] = slot + 1;
    else spans.push([slot, slot + 1]);
  }
  return spans;
}

class StoredEmbeddings {
  #writer: FileSystemWritableFileStream | undefined;
  /** The file as it was when it was opened. */
  #file: File | undefined;
  /** The GPU buffer as it is: a row need not be whole words, but what is written must be. */
  readonly #copy: Uint8Array<ArrayBuffer>;

  private constructor(
    private readonly entry: RowsBuffer,
    private readonly handle: FileSystemFileHandle,
  ) {
    this.#copy = new Uint8Array(entry.bytes);
  }

  static async open(bundle: Bundle, entry: RowsBuffer, storage: FileSystemDirectoryHandle): Promise<StoredEmbeddings> {
    const name = await nameOf(bundle, entry);
    let table: StoredEmbeddings | undefined;
    try {
      const handle = await storage.getFileHandle(name, { create: true });
      table = new StoredEmbeddings(entry, handle);
      const file = await handle.getFile();
      if (file.size === bytesOf(entry)) table.#file = file;
      else await table.#begin();
      return table;
    } catch (error) {
      await table?.abandon();
      throw unstored(entry, error);
    }
  }

  /** Makes room for what is to come: what browsers tell of their room is not what there is. */
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

  /** What has to be written so that the rows, of which one is for each slot, are there; `spans`: the slots, ascending. */
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
    if (id >= rows) throw new UsageError(`Token id ${id} is outside the table of ${rows} rows.`);
    const read = async (file: File | undefined) => {
      if (!file) throw new UsageError("Look-up tables are read before they are stored.");
      return new Uint8Array(await file.slice(id * rowBytes, (id + 1) * rowBytes).arrayBuffer());
    };
    try {
      return await read(this.#file);
    } catch {
      // Another tab that loaded the same bundle has put the same bytes in the slot of the file that was open here.
      this.#file = await this.#reopened();
      return read(this.#file).catch(() => {
        throw this.#cleared();
      });
    }
  }

  async #reopened(): Promise<File> {
    const file = await this.handle.getFile().catch(() => undefined);
    if (file?.size === bytesOf(this.entry)) return file;
    throw this.#cleared();
  }

  #cleared(): BundleError {
    return new BundleError(
      `The browser has cleared its copy of a look-up table of ${this.entry.file}. Load the model again.`,
      this.entry.file,
    );
  }
}

function unstored(entry: RowsBuffer, error: unknown): StorageError {
  return new StorageError(
    `The browser has no room for ${bytesOf(entry)} bytes of the model's look-up tables (${causeOf(error)}). Open the page ` +
      "outside a private window, free some storage, or choose a smaller model.",
  );
}

function bytesOf({ rows, row_bytes }: RowsBuffer): number {
  return rows * row_bytes;
}

/** A name that only a table of these very bytes has. */
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
