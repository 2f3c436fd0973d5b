/**
 * A page in Node: it loads the bundles that stdin names, one a line, sends a message to each, and writes the outcome to
 * the given pipe. Its worker is a thread, its host a server on a free port.
 */

import { writeSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { Worker as Thread } from "node:worker_threads";
import { Gemma } from "../../src/api/gemma.ts";
import * as errors from "../../src/errors.ts";
import { below, type Faults, faultFor, readFaults, serveFiles } from "./host.ts";
import { type Outcome, type Visit, visit } from "./visit.ts";

type Order = { folder: string } & Pick<Visit, "limit" | "grace">;

const script = process.argv[2] ?? "";
let root = "";
let faults: Faults = {};
let unhandled: string[] = [];

/** A thread that is no worker now. */
let idle: Thread | undefined;
/** Resolves when no thread is busy with a worker that the page has ended. */
let ended: Promise<void> = Promise.resolve();

/** The parts of the browser's class that gemtab uses. */
class ThreadWorker {
  readonly #thread: Thread;
  readonly #listeners = { message: new Set<(event: unknown) => void>(), error: new Set<(event: unknown) => void>() };
  #idle: () => void = () => undefined;
  #over = false;

  constructor() {
    this.#thread = idle ?? new Thread(script, { resourceLimits: { maxOldGenerationSizeMb: 2048 } });
    idle = undefined;
    this.#thread.on("message", this.#receive);
    this.#thread.on("error", this.#fail);
    this.#thread.postMessage({ faults });
  }

  readonly #receive = (data: { unhandled?: string; idle?: true }) => {
    if (data.unhandled !== undefined) unhandled.push(data.unhandled);
    else if (data.idle) this.#idle();
    else if (!this.#over) this.#report("message", { data });
  };

  readonly #fail = (error: Error) => {
    if (!this.#over) this.#report("error", { message: error.message, preventDefault() {} });
  };

  #report(type: "message" | "error", event: object): void {
    for (const listener of [...this.#listeners[type]]) listener({ type, ...event });
  }

  postMessage(message: unknown, transfer: readonly Transferable[] = []): void {
    this.#thread.postMessage(message, transfer as never);
  }

  addEventListener(type: "message" | "error", listener: (event: unknown) => void, options?: { once?: boolean }): void {
    const once = (event: unknown) => {
      this.#listeners[type]?.delete(once);
      listener(event);
    };
    this.#listeners[type]?.add(options?.once ? once : listener);
  }

  removeEventListener(type: "message" | "error", listener: (event: unknown) => void): void {
    this.#listeners[type]?.delete(listener);
  }

  /** End the worker. A thread that responds can become another worker; one that does not delays `ended`. */
  terminate(): void {
    this.#over = true;
    const before = ended;
    const now = new Promise<void>((done) => {
      this.#idle = () => {
        this.#thread.off("message", this.#receive);
        this.#thread.off("error", this.#fail);
        idle = this.#thread;
        done();
      };
    });
    ended = before.then(() => now);
    this.#thread.postMessage({ ended: true });
  }
}

const site = await serveFiles(
  (path) => below(root, path),
  (path) => faultFor(faults, path),
);

Object.assign(globalThis, { Worker: ThreadWorker, origin: new URL(site).origin });
process.on("unhandledRejection", (error) => unhandled.push(`${error}`));
process.on("uncaughtException", (error) => unhandled.push(`${error}`));

async function answer({ folder, ...times }: Order): Promise<Outcome> {
  root = resolve(folder);
  faults = readFaults(root);
  unhandled = [];
  const outcome = await visit({ Gemma, ...errors }, { url: site, assets: site, ...times });
  if (unhandled.length === 0 || outcome.outcome === "hang") return outcome;
  return { outcome: "untyped", name: "unhandled", message: unhandled.join("; ") };
}

for await (const line of createInterface({ input: process.stdin })) {
  const outcome = await answer(JSON.parse(line) as Order);
  const late = new Promise((give) => setTimeout(give, 500, true));
  const busy = (await Promise.race([ended, late])) === true;
  writeSync(Number(process.argv[3]), `${JSON.stringify({ ...outcome, busy })}\n`);
}
process.exit(0);
