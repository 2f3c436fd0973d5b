/** Manages the page's worker, which holds all models of the page. */

import { AbortError, DeviceError, LostError, UsageError } from "../errors.ts";
import { within } from "../patience.ts";
import type { Methods } from "../worker/protocol.ts";
import { type CallOptions, connect, type Remote } from "../worker/transport.ts";
import { gpuHistory, noteLeft } from "./gpu-history.ts";
import { type OnSilence, Pulse } from "./pulse.ts";
import { startWorker } from "./start-worker.ts";

/** The maximum milliseconds for the worker's script to load and run. */
const STARTS_MS = 30_000;
/** The milliseconds that a page waits for the reply to a stop. A template, an expression or a kernel may be endless. */
const STOPS_MS = 700;
/** The milliseconds for a worker to reply to a stop before it is ended: with one user, and with several. */
const PATIENCE_MS = { alone: 5_000, shared: 15_000 };
/** The milliseconds that an unused worker is kept. */
const LINGERS_MS = 30_000;

/** The worker did not reply to a stop in time. `late` settles when it does, or when it is ended. */
export class Unanswered extends AbortError {
  constructor(readonly late: Promise<unknown>) {
    super("Stopped at the caller's request.");
    // Most callers ignore how it ended.
    late.catch(() => undefined);
  }
}

interface ThreadCallOptions<Event> extends CallOptions<Event> {
  /** Whether the caller waits only as long as for a stop. */
  brief?: boolean;
  /** Called while the worker's thread does not respond; or "end", which ends the worker then. */
  onSilence?: OnSilence | "end";
}

/** A user of the worker, for one bundle. */
interface User {
  readonly url: string;
}

/**
 * A started worker. It lives until its last user releases it. All models of a page are in one worker, so that models of
 * the same address share weights. A worker that does not reply to a stop is ended.
 */
class SharedWorkerThread {
  readonly users = new Set<User>();
  readonly #worker: Worker;
  readonly #remote: Remote<Methods>;
  readonly #pulse: Pulse;
  /** Rejects when the worker's script cannot be loaded or fails, or the worker is ended: no call is answered then. */
  readonly #broken: Promise<never>;
  /** The number of stops without a reply so far. */
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
    // Callers see the rejection. Without callers it is ignored.
    this.#broken.catch(() => undefined);
  }

  /** Call a method. Throws the worker's error, and Unanswered where the worker does not reply to a stop. */
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
    this.#end(new AbortError("The model was unloaded. Load it again."));
  }

  /** End the worker, unless this reply comes in time. */
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
    `The worker of gemtab has not started for ${STARTS_MS / 1000} seconds: its script did not load from ${script}, or did ` +
      "not run. Check the connection and try again.",
  );
}

function standsStill(seconds: number): DeviceError {
  const { holder } = gpuHistory();
  const why = holder
    ? `${holder} was left on the GPU, and may still block the browser's GPU process.`
    : "A part of the bundle does not end, or the browser's GPU process does not answer.";
  return new DeviceError(
    `The worker of gemtab has not answered for ${seconds} seconds, and was ended. ${why} Wait a minute and try again, close ` +
      "other tabs that use the GPU, or restart the browser.",
  );
}

function didNotStop(ms: number, users: ReadonlySet<User>): LostError {
  const held = [...new Set([...users].map(({ url }) => url))].join(", ");
  return new LostError(
    `The worker of gemtab did not stop within ${ms / 1000} seconds of the request, and was ended. Its models are lost ` +
      `(${held}); conversations stay. Load the model again.`,
  );
}

/** The worker as its users see it. */
export type WorkerThread = Pick<SharedWorkerThread, "call">;

/** The page's worker, while it is used and a little longer. Module state, because a page has one worker. */
let current: SharedWorkerThread | undefined;

/**
 * Start the page's worker, or join its other users. `release` ends the use; the last release ends the worker.
 *
 * @param script the address of the worker's script, used where no worker is running
 * @param url the bundle for which the worker is used
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
    // The report of left work needs the last user.
    if (thread.users.size === 1 && !linger) thread.terminate();
    thread.users.delete(user);
    if (linger) setTimeout(endUnused, LINGERS_MS);
  };
  return { worker: thread, release };
}
