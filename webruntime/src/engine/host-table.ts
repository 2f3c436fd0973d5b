/**
 * Look-up tables that stay on the host: of these a step needs one row a token, so a GPU that is short of memory does
 * better to be handed the rows.
 *
 * They lie in the origin-private file system, which no other origin and no other program writes to. A table gets there
 * from slices whose SHA-256 was found right, under a name made of those digests, and a writer's bytes become the file
 * only when it is closed, all at once: what is found under the name later is what the manifest promises. So rows are
 * read from it without another check, and the next load need not download it again.
 */

import type { Bundle } from "./bundle.ts";
import { BundleError, DeviceError, UsageError } from "./errors.ts";
import type { Plan, RowsBuffer } from "./plan.gen.ts";
import { wantedRuns } from "./slices.ts";
import type { Target } from "./weights.ts";

const FOLDER = "gemtab-tables";

/** Where tables are kept; undefined where the browser gives the page no storage that can be read by parts. */
export async function openTableStorage(): Promise<FileSystemDirectoryHandle | undefined> {
  if (!("createWritable" in (globalThis.FileSystemFileHandle?.prototype ?? {}))) return undefined;
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle(FOLDER, { create: true });
  } catch {
    // Private windows of some browsers have the interface but refuse it.
    return undefined;
  }
}

/** The tables of a plan. */
export class HostTables {
  readonly #tables: ReadonlyMap<string, StoredTable>;

  private constructor(tables: ReadonlyMap<string, StoredTable>) {
    this.#tables = tables;
  }

  static async open(bundle: Bundle, plan: Plan, storage: FileSystemDirectoryHandle): Promise<HostTables> {
    const tables = new Map<string, StoredTable>();
    for (const [name, entry] of Object.entries(plan.buffers)) {
      if (entry.kind === "rows") tables.set(name, await StoredTable.open(bundle, entry, storage));
    }
    return new HostTables(tables);
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

  /** By buffer, the rows of these ids, one after another. */
  async rows(ids: Uint32Array): Promise<[buffer: string, rows: Uint8Array<ArrayBuffer>][]> {
    const read = [...this.#tables].map(async ([name, table]): Promise<[string, Uint8Array<ArrayBuffer>]> => {
      return [name, await table.rows(ids)];
    });
    return Promise.all(read);
  }
}

class StoredTable {
  #writer: FileSystemWritableFileStream | undefined;
  /** The file as it was when it was opened. */
  #file: File | undefined;

  private constructor(
    private readonly entry: RowsBuffer,
    private readonly handle: FileSystemFileHandle,
  ) {}

  static async open(bundle: Bundle, entry: RowsBuffer, storage: FileSystemDirectoryHandle): Promise<StoredTable> {
    const handle = await storage.getFileHandle(await nameOf(bundle, entry), { create: true });
    const table = new StoredTable(entry, handle);
    const file = await handle.getFile();
    if (file.size === bytesOf(entry)) table.#file = file;
    else table.#writer = await handle.createWritable();
    return table;
  }

  get target(): [[file: string, target: Target]] | undefined {
    const writer = this.#writer;
    if (!writer) return undefined;
    const { file, offset } = this.entry;
    const write = async (position: number, data: Uint8Array<ArrayBuffer>) => {
      await writer.write({ type: "write", position, data }).catch((error: unknown) => {
        throw this.#unstored(error);
      });
    };
    return [[file, { offset, bytes: bytesOf(this.entry), write }]];
  }

  async finish(): Promise<void> {
    if (!this.#writer) return;
    await this.#writer.close().catch((error: unknown) => {
      throw this.#unstored(error);
    });
    this.#writer = undefined;
    this.#file = await this.handle.getFile();
  }

  async abandon(): Promise<void> {
    await this.#writer?.abort().catch(() => undefined);
  }

  async rows(ids: Uint32Array): Promise<Uint8Array<ArrayBuffer>> {
    const { row_bytes: rowBytes, replaced, by } = this.entry;
    const rows = new Uint8Array(Math.ceil((ids.length * rowBytes) / 4) * 4);
    const read = new Map<number, Promise<Uint8Array>>();
    const place = async (id: number, token: number) => {
      const row = read.get(id) ?? this.#row(id);
      read.set(id, row);
      rows.set(await row, token * rowBytes);
    };
    await Promise.all(Array.from(ids, (id, token) => place(replaced.includes(id) ? by : id, token)));
    return rows;
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
      // Another tab that loaded the same bundle has put the same bytes in the place of the file that was open here.
      this.#file = await this.#reopened();
      return read(this.#file);
    }
  }

  async #reopened(): Promise<File> {
    const file = await this.handle.getFile().catch(() => undefined);
    if (file?.size === bytesOf(this.entry)) return file;
    throw new BundleError(
      `The browser has cleared its copy of a look-up table of ${this.entry.file}. Load the model again.`,
      this.entry.file,
    );
  }

  #unstored(error: unknown): DeviceError {
    return new DeviceError(
      `The browser has no room for ${bytesOf(this.entry)} bytes of the model's look-up tables (${String(error)}). Free ` +
        'some storage, choose a smaller model, or load it with hostTable: "never".',
    );
  }
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
