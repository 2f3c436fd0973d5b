/** Waiting for what may never come. */

import { AbortError, type GemtabError } from "./errors.ts";

/** How long a GPU may take to open: one that is still busy with something endless answers nothing at all. */
export const GPU_OPENS_MS = 15_000;
/** How long work on the GPU may take before somebody is told; it may be slow, so nothing ends by that. */
export const GPU_STALLS_MS = 20_000;

/** Told in seconds for how long the GPU has not answered, again and again. */
export type OnStall = (seconds: number) => void;

/** `work`, or AbortError at once when the signal fires: for work that knows no signal, and goes on unheard. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const leave = () => reject(new AbortError("Stopped at the caller's request."));
    if (signal.aborted) leave();
    signal.addEventListener("abort", leave);
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}

/** `work`, or the error where it takes longer than so many milliseconds. */
export function within<T>(work: Promise<T>, ms: number, error: () => GemtabError): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(error()), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** `work`, of which `onStall` is told while it takes long. */
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

/** `work`, which somebody will await later: until then an error of it is not one that nobody handles. */
export function kept<T>(work: Promise<T>): Promise<T> {
  work.catch(() => undefined);
  return work;
}

export function pause(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
