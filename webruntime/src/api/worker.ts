/** The worker that holds the models of a page. */

import { AbortError, DeviceError, LostError, UsageError } from "../errors.ts";
import { within } from "../patience.ts";
import type { Methods } from "../worker/protocol.ts";
import { type CallOptions, connect, type Remote } from "../worker/transport.ts";
import { gpuHistory, noteLeft } from "./gpu-history.ts";
import { type OnSilence, Pulse } from "./pulse.ts";
import { startWorker } from "./start-worker.ts";

/** How long the script of a worker may take to come and to run. */
const STARTS_MS = 30_000;
/** How long a page waits for the answer to a stop: a template, an expression or a kernel may never let go. */
const STOPS_MS = 700;
/** How long a worker may take to answer a stop before it is ended: alone, and where others have models in it. */
const PATIENCE_MS = { alone: 5_000, shared: 15_000 };
/** How long a worker that nobody uses waits for the next use. */
const LINGERS_MS = 30_000;

/** The worker has not answered a stop in time. `late` settles when it does, or is ended. */
export class Unanswered extends AbortError {
  constructor(readonly late: Promise<unknown>) {
    super("Stopped at the caller's request.");
    // Most callers do not ask how it ended.
    late.catch(() => undefined);
  }
}

interface ThreadCallOptions<Event> extends CallOptions<Event> {
  /** Whether the caller waits no longer than for a stop. */
  brief?: boolean;
  /** What is told when the worker's thread stands still; or "end", where the worker is ended then. */
  onSilence?: OnSilence | "end";
}

/** Someone who uses the worker, and for which bundle. */
interface User {
  readonly url: string;
}

/**
 * A started worker. It lives until the last of its users has let go of it; all models of a page are in one, so that
 * those of the same address share their weights. One that does not answer a stop is ended.
 */
class SharedWorkerThread {
  readonly users = new Set<User>();
  readonly #worker: Worker;
  readonly #remote: Remote<Methods>;
  readonly #pulse: Pulse;
  /** Rejects when the worker's script cannot be loaded or breaks, or the worker is ended: nothing answers a call then. */
  readonly #broken: Promise<never>;
  /** Stops that were not answered yet. */
  #unanswered = 0;
  #over = false;
  #reject: (error: Error) => void = () => undefined;

  constructor(script: string) {
    const { worker, started, broken } = startWorker(script);
    this.#worker = worker;
    this.#remote = connect<Methods>(worker);
    this.#pulse = new Pulse(worker);
    const ended = new Promise<never>((_, reject) => {
      this.#reject = reject;
    });
    const late = within(started, STARTS_MS, () => neverStarted(script)).then(() => ended);
    this.#broken = Promise.race([broken, ended, late]);
    // Whoever calls sees the rejection; without callers it is nobody's.
    this.#broken.catch(() => undefined);
  }

  /** Throws what the worker throws, and Unanswered where it does not answer a stop. */
  call<Name extends keyof Methods & string>(
    method: Name,
    request: Methods[Name]["request"],
    { brief = false, onSilence, ...options }: ThreadCallOptions<Methods[Name]["event"]> = {},
  ): Promise<Methods[Name]["result"]> {
    const answer = Promise.race([this.#remote(method, request, options), this.#broken]);
    if (onSilence) this.#listen(answer, onSilence === "end" ? (seconds) => this.#end(standsStill(seconds)) : onSilence);
    const { signal } = options;
    if (!brief && !signal) return answer;
    return new Promise((resolve, reject) => {
      let leaving: ReturnType<typeof setTimeout> | undefined;
      const stop = () => {
        this.#outlast(answer);
        leaving = setTimeout(() => reject(new Unanswered(answer)), STOPS_MS);
      };
      const settled = () => {
        clearTimeout(leaving);
        signal?.removeEventListener("abort", stop);
      };
      answer.finally(settled).then(resolve, reject);
      if (brief || signal?.aborted) stop();
      else signal?.addEventListener("abort", stop);
    });
  }

  #listen(answer: Promise<unknown>, onSilence: OnSilence): void {
    const leave = this.#pulse.watch(onSilence);
    answer.then(leave, leave);
  }

  terminate(): void {
    this.#end(new AbortError("The model was given back. Load it again."));
  }

  /** Ends the worker, unless this answer comes in time. */
  #outlast(answer: Promise<unknown>): void {
    const ms = this.users.size > 1 ? PATIENCE_MS.shared : PATIENCE_MS.alone;
    const timer = setTimeout(() => this.#end(didNotStop(ms, this.users)), ms);
    this.#unanswered++;
    const answered = () => {
      clearTimeout(timer);
      this.#unanswered--;
    };
    answer.then(answered, answered);
  }

  #end(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#unanswered > 0) noteLeft([...this.users].map(({ url }) => url));
    this.#worker.terminate();
    this.#reject(error);
    if (current === this) current = undefined;
  }
}

function neverStarted(script: string): UsageError {
  return new UsageError(
    `The worker of gemtab has not started for ${STARTS_MS / 1000} seconds: its script did not come from ${script}, or did ` +
      "not run. Check the connection and try again.",
  );
}

function standsStill(seconds: number): DeviceError {
  const { holder } = gpuHistory();
  const why = holder
    ? `${holder} had to be left on the GPU, and may hold the browser's GPU process still.`
    : "Something in the bundle does not end, or the browser's GPU process does not answer.";
  return new DeviceError(
    `The worker of gemtab has not answered for ${seconds} seconds, and was ended. ${why} Wait a minute and try again, close ` +
      "other tabs that use the GPU, or restart the browser.",
  );
}

function didNotStop(ms: number, users: ReadonlySet<User>): LostError {
  const held = [...new Set([...users].map(({ url }) => url))].join(", ");
  return new LostError(
    `The worker of gemtab did not stop within ${ms / 1000} seconds of being told to, and was ended. What it held is gone ` +
      `(${held}); conversations stay. Load the model again.`,
  );
}

export type WorkerThread = Pick<SharedWorkerThread, "call">;

/** The page's worker, while anything uses it, and a little longer. A page has one, which is why it is kept here. */
let current: SharedWorkerThread | undefined;

/**
 * Starts the page's worker, or joins those who use it. `release` ends the use; the last one to do so ends the worker.
 *
 * @param script the address of the worker's script, where it is not started yet
 * @param url the bundle that it is used for
 */
export function acquireWorker(script: string, url: string): { worker: WorkerThread; release(linger?: boolean): void } {
  current ??= new SharedWorkerThread(script);
  const thread = current;
  const user = { url };
  thread.users.add(user);
  const endUnused = () => {
    if (thread.users.size === 0) thread.terminate();
  };
  const release = (linger = false) => {
    if (!thread.users.has(user)) return;
    // The last user's name is what is told of work that has to be left.
    if (thread.users.size === 1 && !linger) thread.terminate();
    thread.users.delete(user);
    if (linger) setTimeout(endUnused, LINGERS_MS);
  };
  return { worker: thread, release };
}
