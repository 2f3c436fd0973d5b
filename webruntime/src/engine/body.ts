/** Fetching, and reading what comes without leaving behind garbage of its size. */

import { AbortError, BundleError } from "./errors.ts";

/** Fetches, and throws BundleError or AbortError in plain words where that fails. */
export async function request(
  url: string,
  file: string,
  { signal, range }: { signal?: AbortSignal | undefined; range?: string },
): Promise<Response> {
  const response = await fetch(url, { signal: signal ?? null, ...(range && { headers: { Range: range } }) }).catch(
    (error: unknown) => {
      throw downloadError(error, file, signal, undefined, advice(url));
    },
  );
  if (response.ok) return response;
  await response.body?.cancel();
  const missing = response.status === 404 || response.status === 410;
  const what = missing ? "is missing" : `could not be fetched (HTTP ${response.status})`;
  throw new BundleError(`${file} ${what} at ${url}. Check the bundle's address and that all of it was uploaded.`, file);
}

/** Where bytes are put that come in. Whoever fills it takes the buffer away and puts back another with its bytes. */
export interface Room {
  buffer: ArrayBuffer;
}

export function roomOf(bytes: number): Room {
  return { buffer: new ArrayBuffer(bytes) };
}

/** Puts at most `most` bytes of a body at `at` of the room, and tells how many: 0 at the body's end. */
type Fill = (room: Room, at: number, most: number) => Promise<number>;

/** The bytes of a response's body, in the portions that the caller asks for. */
export class BodyReader {
  readonly #fill: Fill;
  readonly #cancel: () => Promise<void>;

  constructor(
    response: Response,
    private readonly room: Room,
    private readonly file: string,
    private readonly signal: AbortSignal | undefined,
  ) {
    const stream = response.body ?? new Blob([]).stream();
    const reader = byteReader(stream) ?? stream.getReader();
    this.#fill = reader instanceof ReadableStreamDefaultReader ? copying(reader) : inPlace(reader);
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
    return this.#fill(this.room, at, most).catch((error: unknown) => {
      throw downloadError(error, this.file, this.signal, slice);
    });
  }

  #short(slice: number, expected: number, found: number): BundleError {
    const message = `${this.file} is short: slice ${slice} ended after ${found} of ${expected} bytes. Upload the file again.`;
    return new BundleError(message, this.file, slice);
  }

  /** Stops the download where it is not over yet. */
  async close(): Promise<void> {
    await this.#cancel().catch(() => undefined);
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

/** Browsers do not tell a script why a request to another origin failed. */
function advice(url: string): string {
  const { origin } = new URL(url);
  if (globalThis.origin === undefined || origin === globalThis.origin) return CONNECTION;
  return (
    `It is on another origin than the page: ${origin} must allow that (Access-Control-Allow-Origin), and so must the page's ` +
    `content security policy where it has one (connect-src), which has to name the hosts that ${origin} redirects to as ` +
    `well. If both do: ${CONNECTION.toLowerCase()}`
  );
}

function downloadError(
  error: unknown,
  file: string,
  signal: AbortSignal | undefined,
  slice?: number,
  advice = CONNECTION,
): Error {
  if (signal?.aborted) return new AbortError("The download was stopped at the caller's request.");
  const cause = error instanceof Error ? error.message : String(error);
  return new BundleError(`The download of ${file} broke off (${cause}). ${advice}`, file, slice);
}
