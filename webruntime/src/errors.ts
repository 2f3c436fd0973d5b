/** All errors that users meet. `code` is the name of the Python class (`gemtab.errors`) with the same meaning. */

import { brief } from "./brief.ts";

/** The names of the error classes. */
export type ErrorCode =
  | "BundleError"
  | "DeviceError"
  | "ContextError"
  | "AbortError"
  | "UsageError"
  | "MediaError"
  | "InternalError";

/** The maximum number of characters of a message: a bundle, a host or a driver can contribute text of any length. */
const MAX_MESSAGE = 600;

/**
 * The base class of gemtab's errors. A message is one paragraph: the error, its location, expected and found values,
 * and what to do next.
 */
export abstract class GemtabError extends Error {
  /** The name of the class. */
  abstract readonly code: ErrorCode;

  constructor(message: string) {
    super(brief(message, MAX_MESSAGE));
  }
}

/** Facts beside an error's message, by name: digests, sizes. */
export type Details = Readonly<Record<string, string | number>>;

/** A bundle is missing, damaged, or of another format version. */
export class BundleError extends GemtabError {
  readonly code = "BundleError";
  /**
   * @param message one paragraph
   * @param file the file of the bundle that is at fault, if there is one
   * @param slice the index of the faulty slice of that file, from 0
   * @param details facts beside the message
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

/** WebGPU is missing, the GPU is too small, a shader does not compile, or the GPU was lost. */
export class DeviceError extends GemtabError {
  readonly code = "DeviceError";
  override readonly name = this.code;
}

/** The GPU or the worker was lost. Everything that was loaded is unusable. */
export class LostError extends DeviceError {}

/** The memory or the storage does not suffice for a model. Another way to load may need less of it. */
export class ShortageError extends DeviceError {}

/** The GPU has too little memory for an allocation. */
export class OutOfMemoryError extends ShortageError {}

/** The browser has too little storage for the part of a model that stays out of GPU memory. */
export class StorageError extends ShortageError {}

/** A prompt does not fit into the context, or the caches cannot go back to the requested position. */
export class ContextError extends GemtabError {
  readonly code = "ContextError";
  override readonly name = this.code;
}

/** The caller's AbortSignal fired. */
export class AbortError extends GemtabError {
  readonly code = "AbortError";
  override readonly name = this.code;
}

/** A call has an argument that it cannot use. */
export class UsageError extends GemtabError {
  readonly code = "UsageError";
  override readonly name = this.code;
}

/** An image, audio or video is damaged, of an unknown format, or beyond a limit. */
export class MediaError extends GemtabError {
  readonly code = "MediaError";
  override readonly name = this.code;
}

/** An unexpected error: a bug, in gemtab or in the browser. */
export class InternalError extends GemtabError {
  readonly code = "InternalError";
  override readonly name = this.code;

  constructor(override readonly cause: string) {
    super(
      `gemtab met an unexpected error (${brief(cause, 300)}). Load the model again; if that does not help, report the error.`,
    );
  }
}

const CLASSES = { BundleError, DeviceError, ContextError, AbortError, UsageError, MediaError };

/** An error in the form that is sent from the worker to the page. */
export interface ErrorRecord {
  /** The name of the class. */
  code: ErrorCode;
  /** The message; for an InternalError, its cause. */
  message: string;
  /** The file of the bundle that is at fault. */
  file?: string;
  /** The index of the faulty slice, from 0. */
  slice?: number;
  /** Facts beside the message. */
  details?: Details;
}

/** Whether an error has this code. Not instanceof: the media script has its own copies of the classes. */
export function hasCode<Code extends keyof typeof CLASSES>(
  error: unknown,
  code: Code,
): error is InstanceType<(typeof CLASSES)[Code]> {
  return error instanceof Error && (error as Partial<GemtabError>).code === code;
}

/** Whether an error is of gemtab's classes, or of another script's copies of them. */
export function isTyped(error: unknown): error is GemtabError {
  const { code } = (error ?? {}) as Partial<GemtabError>;
  return error instanceof Error && (code === "InternalError" || Object.hasOwn(CLASSES, code ?? ""));
}

/** Return the error itself where it is one of gemtab's; otherwise return what `make` returns for its message. */
export function typed(
  error: unknown,
  make: (cause: string) => GemtabError = (cause) => new InternalError(cause),
): GemtabError {
  return isTyped(error) ? error : make(causeOf(error));
}

/** Return the message of a foreign error, shortened. */
export function causeOf(error: unknown): string {
  const words = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return brief(words.replace(/[.\s]+$/, ""), 200);
}

/** Return an error in the form that can be sent to the page. */
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

/** Return the error that a record describes. */
export function fromRecord({ code, message, file, slice, details }: ErrorRecord): GemtabError {
  if (code === "InternalError") return new InternalError(message);
  if (code === "BundleError") return new BundleError(message, file, slice, details);
  return new CLASSES[code](message);
}

/** Throw AbortError where the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AbortError("Stopped at the caller's request.");
}
