/** The worker that holds the models of a page. */

import type { Methods } from "../worker/protocol.ts";
import { type CallOptions, connect, type Remote } from "../worker/transport.ts";
import script from "../worker/worker.ts?worker&url";

/** Browsers start a worker from the page's own origin only, but it may import what another origin lets it. */
function startWorker(): { worker: Worker; elsewhere: string | undefined } {
  const { href, origin } = new URL(script, import.meta.url);
  const options = { type: "module", name: "gemtab" } as const;
  if (origin === globalThis.origin) return { worker: new Worker(href, options), elsewhere: undefined };
  const importing = new Blob([`import ${JSON.stringify(href)};`], { type: "text/javascript" });
  const address = URL.createObjectURL(importing);
  const worker = new Worker(address, options);
  const revoke = () => URL.revokeObjectURL(address);
  worker.addEventListener("message", revoke, { once: true });
  worker.addEventListener("error", revoke, { once: true });
  return { worker, elsewhere: origin };
}

/**
 * A started worker. It lives until the last of its users has let go of it; all models of a page are in one, so that
 * those of the same address share their weights.
 */
class SharedWorkerThread {
  readonly #worker: Worker;
  readonly #remote: Remote<Methods>;
  /** Rejects when the worker's script cannot be loaded or breaks, which no answer of its own would tell. */
  readonly #broken: Promise<never>;

  constructor() {
    const { worker, elsewhere } = startWorker();
    this.#worker = worker;
    this.#remote = connect<Methods>(worker);
    const unloaded = elsewhere
      ? `its script did not load from ${elsewhere}, which must allow that (Access-Control-Allow-Origin), and so must the ` +
        `page's content security policy where it has one (worker-src blob: ${elsewhere})`
      : "its script did not load";
    this.#broken = new Promise((_, reject) => {
      worker.addEventListener("error", (event) => {
        event.preventDefault();
        reject(new Error(`The worker of gemtab could not run: ${event.message || unloaded}.`));
      });
    });
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
  }
}

export type WorkerThread = Pick<SharedWorkerThread, "call">;

/** The page's worker, while anything uses it. A page has one, which is why it is kept here. */
let current: { thread: SharedWorkerThread; users: number } | undefined;

/** Starts the page's worker, or joins those who use it. `release` ends the use; the last one to do so ends the worker. */
export function acquireWorker(): { worker: WorkerThread; release(): void } {
  current ??= { thread: new SharedWorkerThread(), users: 0 };
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
