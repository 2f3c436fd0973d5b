/** Every error a user can meet. `code` is the name of the Python class (`gemtab.errors`) that says the same. */

import { brief } from "./brief.ts";

export type ErrorCode =
  | "BundleError"
  | "DeviceError"
  | "ContextError"
  | "AbortError"
  | "UsageError"
  | "MediaError"
  | "InternalError";

/** Characters of a message: what a bundle, a host or a driver says in it may be of any length. */
const MOST_MESSAGE = 600;

/** Base of the errors that are shown to users as one paragraph: what, where, expected against found, what to do. */
export abstract class GemtabError extends Error {
  abstract readonly code: ErrorCode;

  constructor(message: string) {
    super(brief(message, MOST_MESSAGE));
  }
}

/** What an error says besides its sentence, by name: digests, sizes. */
export type Details = Readonly<Record<string, string | number>>;

/** A bundle is missing, damaged, or of another format version. */
export class BundleError extends GemtabError {
  readonly code = "BundleError";
  /**
   * @param message one paragraph
   * @param file the bundle's file that is at fault, where one is
   * @param slice which slice of it, counted from 0
   * @param details what does not belong into a sentence
   */
  constructor(
    message: string,
    readonly file?: string,
    readonly slice?: number,
    readonly details?: Details,
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

/** The browser took the GPU away: whatever was loaded is of no more use. */
export class LostError extends DeviceError {}

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

/** Something that gemtab does not foresee: a bug, here or in the browser. */
export class InternalError extends GemtabError {
  readonly code = "InternalError";
  override readonly name = this.code;

  constructor(override readonly cause: string) {
    super(
      `gemtab met something that it does not foresee (${brief(cause, 300)}). Load the model again; if that does not help, report it.`,
    );
  }
}

const CLASSES = { BundleError, DeviceError, ContextError, AbortError, UsageError, MediaError };

/** An error as it crosses from the worker to the page. */
export interface ErrorRecord {
  code: ErrorCode;
  message: string;
  file?: string;
  slice?: number;
  details?: Details;
}

/** By its code, since an error of the media part is of that script's own copy of the class. */
export function hasCode<Code extends keyof typeof CLASSES>(
  error: unknown,
  code: Code,
): error is InstanceType<(typeof CLASSES)[Code]> {
  return error instanceof Error && (error as Partial<GemtabError>).code === code;
}

/** Whether it is of gemtab's own classes, or of another script's copy of them. */
export function isTyped(error: unknown): error is GemtabError {
  const { code } = (error ?? {}) as Partial<GemtabError>;
  return error instanceof Error && (code === "InternalError" || Object.hasOwn(CLASSES, code ?? ""));
}

/** The error itself where it is one of gemtab's, or else what `typed` makes of its words. */
export function typed(
  error: unknown,
  make: (cause: string) => GemtabError = (cause) => new InternalError(cause),
): GemtabError {
  return isTyped(error) ? error : make(causeOf(error));
}

/** What an error of somebody else's says, in a few words. */
export function causeOf(error: unknown): string {
  const words = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return brief(words.replace(/[.\s]+$/, ""), 200);
}

export function toRecord(error: unknown): ErrorRecord {
  if (!isTyped(error)) return { code: "InternalError", message: causeOf(error) };
  if (error.code === "InternalError") return { code: error.code, message: (error as InternalError).cause };
  const { code, message, file, slice, details } = error as GemtabError & Partial<BundleError>;
  return {
    code,
    message,
    ...(file !== undefined && { file }),
    ...(slice !== undefined && { slice }),
    ...(details !== undefined && { details }),
  };
}

export function fromRecord({ code, message, file, slice, details }: ErrorRecord): GemtabError {
  if (code === "InternalError") return new InternalError(message);
  if (code === "BundleError") return new BundleError(message, file, slice, details);
  return new CLASSES[code](message);
}

/** Throws AbortError when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AbortError("Stopped at the caller's request.");
}
