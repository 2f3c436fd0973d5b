/** Waits for promises that may never settle. */

import { AbortError, type GemtabError } from "./errors.ts";

/**
 * The maximum milliseconds that a GPU may take to open. A GPU that is busy with endless work does not answer at all.
 */
export const GPU_OPENS_MS = 15_000;
/** The milliseconds of work on the GPU before a stall is reported. The work may be slow, so it continues. */
export const GPU_STALLS_MS = 20_000;

/** Called repeatedly with the seconds for which the GPU has not answered. */
export type OnStall = (seconds: number) => void;

/**
 * Return `work`, or throw AbortError at once when the signal fires. For work that takes no signal: it continues, and
 * its result is ignored.
 */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const leave = () => reject(new AbortError("Stopped at the caller's request."));
    if (signal.aborted) leave();
    signal.addEventListener("abort", leave);
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}

/** Return `work`, or throw the error where the work takes longer than `ms` milliseconds. */
export function within<T>(work: Promise<T>, ms: number, error: () => GemtabError): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(error()), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Return `work`, and call `onStall` while it takes long. */
export async function watched<T>(work: Promise<T>, onStall: OnStall | undefined): Promise<T> {
  if (!onStall) return work;
  const start = performance.now();
  const timer = setInterval(() => onStall(Math.round((performance.now() - start) / 1000)), GPU_STALLS_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}

/** Return `work`, which is awaited later. An earlier error does not count as unhandled. */
export function kept<T>(work: Promise<T>): Promise<T> {
  work.catch(() => undefined);
  return work;
}

export function pause(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
