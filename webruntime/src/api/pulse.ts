/** Whether a worker still turns: what never ends in it, or a browser's GPU process that does not answer, stops its thread. */

import type { PageMessage } from "../worker/protocol.ts";

/** Between two pings. Counting them, and not time, leaves out when the machine slept. */
const PING_MS = 2_000;
/** Pings in a row without an answer until somebody is told, and again until the next time. */
const MISSED = 10;

/** Told for how many seconds the worker has not answered. */
export type OnSilence = (seconds: number) => void;

/** Pings a worker while somebody wants to know. */
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

  /** Tells `onSilence` until the function that it gives is called. */
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
      for (const tell of [...this.#listeners]) tell((this.#missed * PING_MS) / 1000);
    }
    this.#missed++;
    this.#worker.postMessage({ type: "ping" } satisfies PageMessage);
  }
}
