/** Fetching, and reading what comes without leaving behind garbage of its size. */

import { brief } from "../brief.ts";
import { AbortError, BundleError, causeOf } from "../errors.ts";

/** Characters of an address in a message: the signature of a signed one may have thousands. */
const MAX_ADDRESS = 200;

/** How long a host may send nothing. */
export const SILENCE_MS = 30_000;

/** A response, and what ends it where its host falls silent. */
export interface Reply {
  response: Response;
  silence: Silence;
}

/** Waits for a host, and no longer than SILENCE_MS at a time. */
class Silence {
  readonly #controller = new AbortController();

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  async limit<T>(work: Promise<T>): Promise<T> {
    const timer = setTimeout(() => this.#controller.abort(), SILENCE_MS);
    try {
      return await work;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Fetches, and throws BundleError or AbortError in plain words where that fails. */
export async function request(
  url: string,
  file: string,
  { signal, range }: { signal?: AbortSignal | undefined; range?: string },
): Promise<Reply> {
  const silence = new Silence();
  const stop = signal ? AbortSignal.any([signal, silence.signal]) : silence.signal;
  const headers = range ? { headers: { Range: range } } : {};
  const response = await silence.limit(fetch(url, { signal: stop, ...headers })).catch((error: unknown) => {
    throw downloadError(error, { file, signal, silence, advice: advice(url) });
  });
  if (response.ok) return { response, silence };
  response.body?.cancel().catch(() => undefined);
  throw new BundleError(refusal(response.status, url, file), file);
}

/** The whole body, inflated where it was compressed. Throws BundleError where there are more than `most` bytes of it. */
export async function readWhole(
  { response, silence }: Reply,
  file: string,
  most: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const reader = (response.body ?? new Blob([]).stream()).getReader();
  const chunks: Uint8Array[] = [];
  for (let bytes = 0; ; ) {
    const { value } = await silence.limit(reader.read()).catch((error: unknown) => {
      throw downloadError(error, { file, signal, silence });
    });
    if (!value) return joined(chunks, bytes);
    chunks.push(value);
    bytes += value.length;
    if (bytes <= most) continue;
    reader.cancel().catch(() => undefined);
    throw new BundleError(
      `${file} has more than ${most} bytes, the most that gemtab reads of it. Is this a bundle?`,
      file,
    );
  }
}

function joined(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function refusal(status: number, url: string, file: string): string {
  const what = status === 404 || status === 410 ? "is missing" : `could not be fetched (HTTP ${status})`;
  const forbidden = status === 401 || status === 403;
  const advice = forbidden
    ? "Its host does not let this page read it. A signed address may have ended, or be signed for another file than this one."
    : "Check the bundle's address and that all of it was uploaded.";
  return `${file} ${what} at ${brief(url, MAX_ADDRESS)}. ${advice}`;
}

/** Where bytes are put that come in. Whoever fills it takes the buffer away and puts back another with its bytes. */
export interface SliceBuffer {
  buffer: ArrayBuffer;
}

export function sliceBuffer(bytes: number): SliceBuffer {
  return { buffer: new ArrayBuffer(bytes) };
}

/** Puts at most `most` bytes of a body at `at` of the room, and tells how many: 0 at the body's end. */
type Fill = (room: SliceBuffer, at: number, most: number) => Promise<number>;

/** The bytes of a response's body, in the portions that the caller asks for. */
export class BodyReader {
  readonly #fill: Fill;
  /** Reads the end, which must be near; stops the download where more comes. */
  readonly #end: () => Promise<unknown>;
  readonly #cancel: () => Promise<void>;
  readonly #silence: Silence;

  constructor(
    { response, silence }: Reply,
    private readonly room: SliceBuffer,
    private readonly file: string,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.#silence = silence;
    const stream = response.body ?? new Blob([]).stream();
    const reader = byteReader(stream) ?? stream.getReader();
    const inChunks = reader instanceof ReadableStreamDefaultReader;
    this.#fill = inChunks ? copying(reader) : inPlace(reader);
    const more = async () => !(inChunks ? await reader.read() : await reader.read(new Uint8Array(1))).done;
    this.#end = async () => (await more()) && reader.cancel();
    this.#cancel = () => reader.cancel();
  }

  /** The next `count` bytes, which lie in the room until more is read. Throws BundleError where the body ends first. */
  async read(count: number, slice: number, onBytes?: (bytes: number) => void): Promise<Uint8Array<ArrayBuffer>> {
    for (let found = 0; found < count; ) {
      const bytes = await this.#take(found, count - found, slice);
      if (bytes === 0) throw this.#short(slice, count, found);
      found += bytes;
      onBytes?.(bytes);
    }
    return new Uint8Array(this.room.buffer, 0, count);
  }

  /** Drops `count` bytes. */
  async skip(count: number, slice: number): Promise<void> {
    for (let found = 0; found < count; ) {
      const bytes = await this.#take(0, Math.min(count - found, this.room.buffer.byteLength), slice);
      if (bytes === 0) throw this.#short(slice, count, found);
      found += bytes;
    }
  }

  async #take(at: number, most: number, slice: number): Promise<number> {
    return this.#silence.limit(this.#fill(this.room, at, most)).catch((error: unknown) => {
      throw downloadError(error, { file: this.file, signal: this.signal, silence: this.#silence, slice });
    });
  }

  #short(slice: number, expected: number, found: number): BundleError {
    const message = `${this.file} is short: slice ${slice} ended after ${found} of ${expected} bytes. Upload the file again.`;
    return new BundleError(message, this.file, slice);
  }

  /**
   * All bytes that are wanted were read. A body that is cancelled before its end was read is a failed download to
   * the browser. Nobody waits: some hosts leave a connection open after the last byte.
   */
  finish(): void {
    void this.#end().catch(() => undefined);
  }

  /** Stops the download where it is not over yet. Nobody waits: what went wrong is said at once. */
  close(): void {
    this.#cancel().catch(() => undefined);
  }
}

/** A reader that is given the place for the bytes; undefined where the browser has none for this stream. */
function byteReader(stream: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | undefined {
  try {
    return stream.getReader({ mode: "byob" });
  } catch {
    return undefined;
  }
}

/** No chunk is made that a garbage collector would have to find: those of gigabytes pile up faster than it does. */
function inPlace(reader: ReadableStreamBYOBReader): Fill {
  return async (room, at, most) => {
    const { value } = await reader.read(new Uint8Array(room.buffer, at, most));
    // Undefined once the body was cancelled.
    if (!value) return 0;
    room.buffer = value.buffer;
    return value.length;
  };
}

function copying(reader: ReadableStreamDefaultReader<Uint8Array>): Fill {
  /** What came in and was not taken yet. */
  let rest = new Uint8Array(0);
  return async (room, at, most) => {
    while (rest.length === 0) {
      const { done, value } = await reader.read();
      if (done) return 0;
      rest = value as Uint8Array<ArrayBuffer>;
    }
    const part = rest.subarray(0, most);
    rest = rest.subarray(part.length);
    new Uint8Array(room.buffer).set(part, at);
    return part.length;
  };
}

const CONNECTION = "Check the connection and try again.";

const OPAQUE =
  'This page has no origin of its own ("null": a sandboxed frame without allow-same-origin, or a file), so every host is ' +
  "foreign to it:";

/** Browsers do not tell a script why a request to another origin failed. */
function advice(url: string): string {
  const { origin, protocol } = new URL(url);
  if (protocol === "file:") {
    return "Browsers let no page read files of a folder: serve the folder over HTTP, as `gemtab serve` does.";
  }
  if (globalThis.origin === undefined) return CONNECTION;
  if (origin === globalThis.origin) {
    return "Check the connection, and that the page's content security policy, where it has one, allows connect-src 'self'.";
  }
  const whose = globalThis.origin === "null" ? OPAQUE : "It is on another origin than the page:";
  return (
    `${whose} ${origin} must allow that (Access-Control-Allow-Origin), and so must the page's ` +
    `content security policy where it has one (connect-src), which has to name the hosts that ${origin} redirects to as ` +
    `well. If both do: ${CONNECTION.toLowerCase()}`
  );
}

interface Failed {
  file: string;
  signal: AbortSignal | undefined;
  silence: Silence;
  slice?: number;
  advice?: string;
}

function downloadError(error: unknown, { file, signal, silence, slice, advice = CONNECTION }: Failed): Error {
  if (signal?.aborted) return new AbortError("The download was stopped at the caller's request.");
  if (silence.signal.aborted) {
    const seconds = SILENCE_MS / 1000;
    return new BundleError(
      `The download of ${file} stands still: its host has sent nothing for ${seconds} seconds. ${CONNECTION}`,
      file,
      slice,
    );
  }
  return new BundleError(`The download of ${file} broke off (${causeOf(error)}). ${advice}`, file, slice);
}
