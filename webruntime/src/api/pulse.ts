/**
 * Monitors whether a worker responds. Endless work in it, or an unresponsive GPU process of the browser, stops its
 * thread.
 */

import type { PageMessage } from "../worker/protocol.ts";

/** The milliseconds between two pings. Counting pings instead of time excludes the time while the machine slept. */
const PING_MS = 2_000;
/** The number of missed pings in a row before each report. */
const MISSED = 10;

/** Called with the seconds for which the worker has not answered. */
export type OnSilence = (seconds: number) => void;

/** Pings a worker while there are listeners. */
export class Pulse {
  readonly #worker: Pick<Worker, "postMessage">;
  readonly #listeners = new Set<OnSilence>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #missed = 0;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.addEventListener("message", () => {
      this.#missed = 0;
    });
  }

  /** Report silence to `onSilence` until the returned function is called. */
  watch(onSilence: OnSilence): () => void {
    if (this.#listeners.size === 0) this.#begin();
    this.#listeners.add(onSilence);
    return () => {
      this.#listeners.delete(onSilence);
      if (this.#listeners.size === 0) clearInterval(this.#timer);
    };
  }

  #begin(): void {
    this.#missed = 0;
    this.#timer = setInterval(() => this.#beat(), PING_MS);
  }

  #beat(): void {
    if (this.#missed > 0 && this.#missed % MISSED === 0) {
      for (const report of [...this.#listeners]) report((this.#missed * PING_MS) / 1000);
    }
    this.#missed++;
    this.#worker.postMessage({ type: "ping" } satisfies PageMessage);
  }
}
