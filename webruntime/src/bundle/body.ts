/** Fetches files, and reads bodies without garbage of their size. */

import { brief } from "../brief.ts";
import { AbortError, BundleError, causeOf } from "../errors.ts";

/** Most characters of an address in an error. The signature in an address may have thousands. */
const MAX_ADDRESS = 200;

/** The milliseconds after which a download fails if the host sends nothing. */
export const SILENCE_MS = 30_000;

/** A response, and the limit for the silence of its host. */
export interface Reply {
  /** The response, with an HTTP status of success. */
  response: Response;
  /** Ends the download if the host falls silent. */
  silence: Silence;
}

/** Waits for a host, at most SILENCE_MS at a time. */
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

/**
 * Sends a request for a file of a bundle.
 *
 * @param file the file's path in the bundle, for errors
 * @throws BundleError if the host does not answer or refuses, and AbortError
 */
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

/**
 * Reads the whole body of a response, decompressed.
 *
 * @param file the file's path in the bundle, for errors
 * @param most the most bytes of the body
 * @throws BundleError for a longer body or a broken download, and AbortError
 */
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
    throw new BundleError(`${file} has more than ${most} bytes, the most that gemtab reads. Is this a bundle?`, file);
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
    ? "The host does not permit this page to read the file. A signed address may have expired, or may be for another file."
    : "Check the bundle's address and that all of it was uploaded.";
  return `${file} ${what} at ${brief(url, MAX_ADDRESS)}. ${advice}`;
}

/**
 * Memory for the bytes of one slice, which several downloads may use one after another. A read transfers `buffer` to the
 * browser and replaces it with another that has the same size and contents.
 */
export interface SliceBuffer {
  /** The present memory. */
  buffer: ArrayBuffer;
}

/** A new slice buffer of `bytes` bytes. */
export function sliceBuffer(bytes: number): SliceBuffer {
  return { buffer: new ArrayBuffer(bytes) };
}

/** Reads at most `most` bytes of a body into `target`, from byte `at` on. Returns their number: 0 at the body's end. */
type Fill = (target: SliceBuffer, at: number, most: number) => Promise<number>;

/** Reads the body of a response in portions that the caller chooses. */
export class BodyReader {
  readonly #fill: Fill;
  /** Reads the end of the body. Stops the download if more bytes come. */
  readonly #end: () => Promise<unknown>;
  readonly #cancel: () => Promise<void>;
  readonly #silence: Silence;

  /**
   * @param target takes the bytes
   * @param file the file's path in the bundle, for errors
   */
  constructor(
    { response, silence }: Reply,
    private readonly target: SliceBuffer,
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

  /**
   * Reads the next `count` bytes. They stay valid until the next read.
   *
   * @param slice the number of the slice, for errors
   * @param onBytes called with the number of bytes of each part that arrives
   * @throws BundleError if the body ends before, or the download breaks off, and AbortError
   */
  async read(count: number, slice: number, onBytes?: (bytes: number) => void): Promise<Uint8Array<ArrayBuffer>> {
    for (let found = 0; found < count; ) {
      const bytes = await this.#take(found, count - found, slice);
      if (bytes === 0) throw this.#short(slice, count, found);
      found += bytes;
      onBytes?.(bytes);
    }
    return new Uint8Array(this.target.buffer, 0, count);
  }

  /** Skips `count` bytes. Throws as `read` does. */
  async skip(count: number, slice: number): Promise<void> {
    for (let found = 0; found < count; ) {
      const bytes = await this.#take(0, Math.min(count - found, this.target.buffer.byteLength), slice);
      if (bytes === 0) throw this.#short(slice, count, found);
      found += bytes;
    }
  }

  async #take(at: number, most: number, slice: number): Promise<number> {
    return this.#silence.limit(this.#fill(this.target, at, most)).catch((error: unknown) => {
      throw downloadError(error, { file: this.file, signal: this.signal, silence: this.#silence, slice });
    });
  }

  #short(slice: number, expected: number, found: number): BundleError {
    const message = `${this.file} is short: slice ${slice} ended after ${found} of ${expected} bytes. Upload the file again.`;
    return new BundleError(message, this.file, slice);
  }

  /**
   * Ends the download after all wanted bytes were read. Reads the end of the body, since browsers report a body that is
   * cancelled before its end as a failed download. Does not wait: some hosts leave a connection open after the last byte.
   */
  finish(): void {
    void this.#end().catch(() => undefined);
  }

  /** Stops the download. Does not wait, so that an error is reported at once. */
  close(): void {
    this.#cancel().catch(() => undefined);
  }
}

/** A reader that fills a given buffer; undefined if the browser has none for this stream. */
function byteReader(stream: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | undefined {
  try {
    return stream.getReader({ mode: "byob" });
  } catch {
    return undefined;
  }
}

/** Reads into the target without chunks: the chunks of gigabytes pile up faster than they are collected. */
function inPlace(reader: ReadableStreamBYOBReader): Fill {
  return async (target, at, most) => {
    const { value } = await reader.read(new Uint8Array(target.buffer, at, most));
    // Undefined after the body was cancelled.
    if (!value) return 0;
    target.buffer = value.buffer;
    return value.length;
  };
}

function copying(reader: ReadableStreamDefaultReader<Uint8Array>): Fill {
  /** Bytes that arrived and were not taken yet. */
  let rest = new Uint8Array(0);
  return async (target, at, most) => {
    while (rest.length === 0) {
      const { done, value } = await reader.read();
      if (done) return 0;
      rest = value as Uint8Array<ArrayBuffer>;
    }
    const part = rest.subarray(0, most);
    rest = rest.subarray(part.length);
    new Uint8Array(target.buffer).set(part, at);
    return part.length;
  };
}

const CONNECTION = "Check the connection and try again.";

const OPAQUE =
  'This page has no origin of its own ("null": a sandboxed frame without allow-same-origin, or a file), so every host is ' +
  "foreign to it:";

/** Advice for a failed request. Browsers do not report to scripts why a request to another origin failed. */
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
