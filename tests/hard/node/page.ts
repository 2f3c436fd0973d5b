/**
 * A page in Node: it loads the bundles that it is told of, line by line on stdin, says a word to each, and tells on the pipe
 * that it was given how that ended. Its worker is a thread, its host a server on a free port.
 */

import { createReadStream, statSync, writeSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { Worker as Thread } from "node:worker_threads";
import { Gemma } from "../../../webruntime/src/api/gemma.ts";
import * as errors from "../../../webruntime/src/engine/errors.ts";

interface Order {
  folder: string;
  /** Milliseconds after which whoever uses the page presses Stop. */
  limit: number;
  /** Milliseconds that the page may take to be free then. */
  grace: number;
}

interface Outcome {
  outcome: "accepted" | "typed" | "untyped" | "hang" | "stopped" | "fooled";
  name: string;
  message: string;
}

/** Bytes of GPU memory that a bundle may take: far more than the one that was spoilt. */
const MEMORY = 64 << 20;

const script = process.argv[2] ?? "";
let root = "";
let unhandled: string[] = [];

/** A thread that has no worker to be now. */
let idle: Thread | undefined;
/** Resolves when no thread is busy with a worker that the page has ended. */
let ended: Promise<void> = Promise.resolve();

/** The browser's class, as far as gemtab uses it. */
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
  }

  readonly #receive = (data: { unhandled?: string; idle?: true }) => {
    if (data.unhandled !== undefined) unhandled.push(data.unhandled);
    else if (data.idle) this.#idle();
    else if (!this.#over) this.#tell("message", { data });
  };

  readonly #fail = (error: Error) => {
    if (!this.#over) this.#tell("error", { message: error.message, preventDefault() {} });
  };

  #tell(type: "message" | "error", event: object): void {
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

  /** A thread that answers can be a worker again; one that does not keeps `ended` waiting. */
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

const server = createServer((request, response) => {
  const path = resolve(root, `.${decodeURIComponent((request.url ?? "/").replace(/[?#].*/, ""))}`);
  const status = path.startsWith(root) && statSync(path, { throwIfNoEntry: false });
  if (!status || !status.isFile()) return response.writeHead(404).end();
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
  const end = Math.min(Number(last ?? status.size - 1), status.size - 1);
  const start = Number(first ?? 0);
  if (first !== undefined && start >= status.size) return response.writeHead(416).end();
  response.writeHead(first === undefined ? 200 : 206, { "content-length": Math.max(0, end - start + 1) });
  if (end < start) return response.end();
  return createReadStream(path, { start, end })
    .on("error", () => response.destroy())
    .pipe(response);
});
await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
const site = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;

Object.assign(globalThis, { Worker: ThreadWorker, origin: new URL(site).origin });
process.on("unhandledRejection", (error) => unhandled.push(`${error}`));
process.on("uncaughtException", (error) => unhandled.push(`${error}`));

async function use(signal: AbortSignal): Promise<Outcome> {
  const gemma = await Gemma.load(site, { signal, assets: site, memory: MEMORY });
  try {
    const { gpuBytes } = gemma.info.stats;
    if (gpuBytes > MEMORY) return { outcome: "fooled", name: "memory", message: `takes ${gpuBytes} bytes` };
    let text = "";
    for await (const part of gemma.chat().send("hi", { maxTokens: 2, seed: 1, signal })) {
      if (part.type === "done" && part.finish === "abort") return { outcome: "stopped", name: "abort", message: "" };
      if (part.type === "done") text = part.text;
    }
    return { outcome: "accepted", name: "", message: text };
  } finally {
    await gemma.dispose();
  }
}

function failed(error: unknown, signal: AbortSignal): Outcome {
  const name = error instanceof Error ? error.constructor.name : typeof error;
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof errors.GemtabError)) return { outcome: "untyped", name, message };
  if (signal.aborted && error instanceof errors.AbortError) return { outcome: "stopped", name, message };
  return { outcome: "typed", name, message };
}

async function answer({ folder, limit, grace }: Order): Promise<Outcome> {
  root = resolve(folder);
  unhandled = [];
  const stop = new AbortController();
  const timers: NodeJS.Timeout[] = [];
  const never = new Promise<Outcome>((give) => {
    const late = () => give({ outcome: "hang", name: "", message: `not free ${grace} ms after Stop` });
    const press = () => {
      stop.abort();
      timers.push(setTimeout(late, grace));
    };
    timers.push(setTimeout(press, limit));
  });
  const used = use(stop.signal).catch((error) => failed(error, stop.signal));
  const outcome = await Promise.race([used, never]);
  for (const timer of timers) clearTimeout(timer);
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
