/** The worker that holds the models of a page. */

import { AbortError } from "../engine/errors.ts";
import type { Methods } from "../worker/protocol.ts";
import { type CallOptions, connect, type Remote } from "../worker/transport.ts";
import { startWorker } from "./start-worker.ts";

/**
 * A started worker. It lives until the last of its users has let go of it; all models of a page are in one, so that
 * those of the same address share their weights.
 */
class SharedWorkerThread {
  readonly #worker: Worker;
  readonly #remote: Remote<Methods>;
  /** Rejects when the worker's script cannot be loaded or breaks, or the worker is ended: nothing answers a call then. */
  readonly #broken: Promise<never>;
  #end: (error: Error) => void = () => undefined;

  constructor(script: string) {
    const { worker, broken } = startWorker(script);
    this.#worker = worker;
    this.#remote = connect<Methods>(worker);
    const ended = new Promise<never>((_, reject) => {
      this.#end = reject;
    });
    this.#broken = Promise.race([broken, ended]);
    // Whoever calls sees the rejection; without callers it is nobody's.
    this.#broken.catch(() => undefined);
  }

  call<Name extends keyof Methods & string>(
    method: Name,
    request: Methods[Name]["request"],
    options?: CallOptions<Methods[Name]["event"]>,
  ): Promise<Methods[Name]["result"]> {
    return Promise.race([this.#remote(method, request, options), this.#broken]);
  }

  terminate(): void {
    this.#worker.terminate();
    this.#end(new AbortError("The model was given back. Load it again."));
  }
}

export type WorkerThread = Pick<SharedWorkerThread, "call">;

/** The page's worker, while anything uses it. A page has one, which is why it is kept here. */
let current: { thread: SharedWorkerThread; users: number } | undefined;

/**
 * Starts the page's worker, or joins those who use it. `release` ends the use; the last one to do so ends the worker.
 *
 * @param script the address of the worker's script, where it is not started yet
 */
export function acquireWorker(script: string): { worker: WorkerThread; release(): void } {
  current ??= { thread: new SharedWorkerThread(script), users: 0 };
  const held = current;
  held.users++;
  let released = false;
  const release = () => {
    if (released) return;
    released = true;
    if (--held.users > 0) return;
    held.thread.terminate();
    if (current === held) current = undefined;
  };
  return { worker: held.thread, release };
}
