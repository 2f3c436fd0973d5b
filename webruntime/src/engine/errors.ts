/** Every error a user can meet. `code` is the name of the Python class (`gemtab.errors`) that says the same. */

export type ErrorCode = "BundleError" | "DeviceError" | "ContextError" | "AbortError" | "UsageError" | "MediaError";

/** Base of the errors that are shown to users as one paragraph: what, where, expected against found, what to do. */
export abstract class GemtabError extends Error {
  abstract readonly code: ErrorCode;
}

/** A bundle is missing, damaged, or of another format version. */
export class BundleError extends GemtabError {
  readonly code = "BundleError";
  /**
   * @param message one paragraph
   * @param file the bundle's file that is at fault, where one is
   * @param slice which slice of it, counted from 0
   */
  constructor(
    message: string,
    readonly file?: string,
    readonly slice?: number,
  ) {
    super(message);
    this.name = this.code;
  }
}

/** WebGPU is missing, the adapter is too small, a shader does not compile, or the device was lost. */
export class DeviceError extends GemtabError {
  readonly code = "DeviceError";
  override readonly name = this.code;
}

/** There is no room for what a model needs; another way of loading it may need less of that. */
export class ShortageError extends DeviceError {}

/** The GPU has no memory left for what was to be allocated. */
export class OutOfMemoryError extends ShortageError {}

/** The browser does not store what is to stay out of the GPU's memory. */
export class StorageError extends ShortageError {}

/** A prompt does not fit the context, or the caches cannot go back to where they were asked to. */
export class ContextError extends GemtabError {
  readonly code = "ContextError";
  override readonly name = this.code;
}

/** The caller's AbortSignal fired. */
export class AbortError extends GemtabError {
  readonly code = "AbortError";
  override readonly name = this.code;
}

/** The call was given something it cannot use. */
export class UsageError extends GemtabError {
  readonly code = "UsageError";
  override readonly name = this.code;
}

/** A picture, sound or clip is damaged, of an unknown kind, or beyond a limit. */
export class MediaError extends GemtabError {
  readonly code = "MediaError";
  override readonly name = this.code;
}

const CLASSES = { BundleError, DeviceError, ContextError, AbortError, UsageError, MediaError };

/** An error as it crosses from the worker to the page. */
export interface ErrorRecord {
  code: ErrorCode | "InternalError";
  message: string;
  file?: string;
  slice?: number;
}

/** By its code, since an error of the media part is of that script's own copy of the class. */
export function hasCode<Code extends ErrorCode>(
  error: unknown,
  code: Code,
): error is InstanceType<(typeof CLASSES)[Code]> {
  return error instanceof Error && (error as Partial<GemtabError>).code === code;
}

export function toRecord(error: unknown): ErrorRecord {
  if (!(error instanceof Error)) return { code: "InternalError", message: String(error) };
  const { code, message, file, slice } = error as Partial<BundleError> & Error;
  if (code === undefined || !Object.hasOwn(CLASSES, code)) return { code: "InternalError", message };
  return { code, message, ...(file !== undefined && { file }), ...(slice !== undefined && { slice }) };
}

export function fromRecord(record: ErrorRecord): Error {
  if (record.code === "InternalError") return new Error(record.message);
  if (record.code === "BundleError") return new BundleError(record.message, record.file, record.slice);
  return new CLASSES[record.code](record.message);
}

/** Throws AbortError when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AbortError("Stopped at the caller's request.");
}
