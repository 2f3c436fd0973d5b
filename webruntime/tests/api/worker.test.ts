/** A page's handling of an unresponsive worker. The tests decide the worker's replies. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Chat } from "../../src/api/chat.ts";
import { gpuHistory, noteLoaded } from "../../src/api/gpu-history.ts";
import { acquireWorker, Unanswered } from "../../src/api/worker.ts";
import { LostError, UsageError } from "../../src/errors.ts";
import type { ChatResult } from "../../src/messages.ts";
import type { PageMessage, WorkerMessage } from "../../src/worker/protocol.ts";

class FakeWorker extends EventTarget {
  static last: FakeWorker;
  readonly calls: Extract<PageMessage, { type: "call" }>[] = [];
  ended = false;
  /** Whether its thread responds. */
  turns = true;

  constructor() {
    super();
    FakeWorker.last = this;
  }

  postMessage(message: PageMessage): void {
    if (message.type === "call") this.calls.push(message);
    if (message.type === "ping" && this.turns) this.say({ type: "here" });
  }

  say(data: WorkerMessage): void {
    this.dispatchEvent(new MessageEvent("message", { data }));
  }

  answer(method: string, result: unknown): void {
    this.say({ type: "result", call: this.#last(method), result });
  }

  event(method: string, event: unknown): void {
    this.say({ type: "event", call: this.#last(method), event });
  }

  #last(method: string): number {
    return this.calls.findLast((call) => call.method === method)?.call ?? -1;
  }

  terminate(): void {
    this.ended = true;
  }
}

const SCRIPT = "http://localhost/gemtab-worker.js";

let releases: ((linger?: boolean) => void)[];
beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("Worker", FakeWorker);
  vi.stubGlobal("origin", "http://localhost");
  releases = [];
});
afterEach(() => {
  for (const release of releases) release();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  noteLoaded();
});

function acquire(url: string) {
  const acquired = acquireWorker(SCRIPT, url);
  releases.push(acquired.release);
  const { last } = FakeWorker;
  last.say({ type: "here" });
  return { ...acquired, fake: last };
}

const ANSWER: ChatResult = {
  ids: [1],
  text: "Hi!",
  thought: "",
  toolCalls: [],
  finish: "stop",
  stats: {
    promptTokens: 1,
    reusedTokens: 0,
    answerTokens: 1,
    firstTokenSeconds: 1,
    promptTokensPerSecond: 1,
    tokensPerSecond: 1,
    contextUsed: 2,
  },
};

describe("a stop that is not answered", () => {
  test("frees the caller within a second, and ends a worker that is nobody else's after 5", async () => {
    const { worker, fake } = acquire("http://localhost/loop/");
    const stop = new AbortController();
    const loading = worker.call("load", {} as never, { signal: stop.signal });
    const caught = expect(loading).rejects.toBeInstanceOf(Unanswered);
    stop.abort();
    await vi.advanceTimersByTimeAsync(1000);
    await caught;
    expect(fake.ended).toBe(false);
    const other = worker.call("lost", { model: 1 });
    const ended = expect(other).rejects.toThrow(
      /did not stop within 5 seconds .*localhost\/loop\/.* Load the model again/,
    );
    await vi.advanceTimersByTimeAsync(4100);
    await ended;
    expect(fake.ended).toBe(true);
    expect(gpuHistory().holder).toMatch(/The work of http:\/\/localhost\/loop\/, whose worker .* ended 0 seconds ago/);
  });

  test("leaves a worker that holds other models 15 seconds", async () => {
    const { worker, fake } = acquire("http://localhost/loop/");
    acquire("http://localhost/good/");
    const stop = new AbortController();
    worker.call("load", {} as never, { signal: stop.signal }).catch(() => undefined);
    stop.abort();
    await vi.advanceTimersByTimeAsync(14_900);
    expect(fake.ended).toBe(false);
    await vi.advanceTimersByTimeAsync(200);
    expect(fake.ended).toBe(true);
  });

  test("ends nothing where the answer comes late", async () => {
    const { worker, fake } = acquire("http://localhost/slow/");
    const stop = new AbortController();
    worker.call("load", {} as never, { signal: stop.signal }).catch(() => undefined);
    stop.abort();
    await vi.advanceTimersByTimeAsync(3000);
    fake.answer("load", { model: 1 });
    await vi.advanceTimersByTimeAsync(20_000);
    expect(fake.ended).toBe(false);
    expect(gpuHistory().holder).toBeUndefined();
  });

  test("ends the worker at once where its last user leaves", async () => {
    const { worker, fake, release } = acquire("http://localhost/loop/");
    const unloading = worker.call("unload", { model: 1 }, { brief: true }).catch(() => undefined);
    await vi.advanceTimersByTimeAsync(1000);
    await unloading;
    release();
    expect(fake.ended).toBe(true);
    expect(gpuHistory().holder).toContain("localhost/loop/");
    expect(acquire("http://localhost/good/").fake).not.toBe(fake);
  });
});

test("a worker whose script never starts is reported after 30 seconds", async () => {
  const { worker, release } = acquireWorker(SCRIPT, "http://localhost/good/");
  releases.push(release);
  const failed = expect(worker.call("load", {} as never)).rejects.toThrow(
    /has not started for 30 seconds: its script did not load from http:\/\/localhost\/gemtab-worker\.js.*try again/,
  );
  await vi.advanceTimersByTimeAsync(30_000);
  await failed;
});

describe("a worker whose thread stands still", () => {
  test("while it loads is ended after 20 seconds", async () => {
    const { worker, fake } = acquire("http://localhost/loop/");
    fake.turns = false;
    const failed = expect(worker.call("load", {} as never, { onSilence: "end" })).rejects.toThrow(
      /has not answered for 20 seconds, and was ended\. A part of the bundle does not end/,
    );
    await vi.advanceTimersByTimeAsync(23_000);
    await failed;
    expect(fake.ended).toBe(true);
  });

  test("is reported again and again while it answers", async () => {
    const { worker, fake } = acquire("http://localhost/loop/");
    fake.turns = false;
    const reported: number[] = [];
    worker.call("send", {} as never, { onSilence: (seconds) => reported.push(seconds) }).catch(() => undefined);
    await vi.advanceTimersByTimeAsync(50_000);
    expect(reported).toEqual([20, 40]);
    expect(fake.ended).toBe(false);
  });

  test("is distinguished from one that responds and works long", async () => {
    const { worker, fake } = acquire("http://localhost/slow/");
    const loading = worker.call("load", {} as never, { onSilence: "end" });
    await vi.advanceTimersByTimeAsync(600_000);
    fake.answer("load", { model: 1 });
    expect(await loading).toEqual({ model: 1 });
    expect(fake.ended).toBe(false);
  });
});

test("a worker after a preview waits for the next use, but not for ever", async () => {
  const { fake, release } = acquire("http://localhost/good/");
  release(true);
  const next = acquire("http://localhost/good/");
  expect(next.fake).toBe(fake);
  await vi.advanceTimersByTimeAsync(40_000);
  expect(fake.ended).toBe(false);
  next.release(true);
  await vi.advanceTimersByTimeAsync(40_000);
  expect(fake.ended).toBe(true);
});

test("arguments that cannot be sent to a worker are rejected with advice", async () => {
  const { worker, fake } = acquire("http://localhost/good/");
  fake.postMessage = () => {
    throw new DOMException("#<Object> could not be cloned.", "DataCloneError");
  };
  const sent = worker.call("load", {} as never);
  await expect(sent).rejects.toBeInstanceOf(UsageError);
  await expect(sent).rejects.toThrow(/cannot be sent to gemtab's worker \(DataCloneError.*Use plain objects/);
});

describe("a conversation", () => {
  async function begin() {
    const { worker, fake } = acquire("http://localhost/good/");
    const chat = new Chat(worker, 1, { system: "Be brief." });
    fake.answer("openSession", { session: 5 });
    const stop = new AbortController();
    const parts: unknown[] = [];
    const reading = (async () => {
      for await (const part of chat.send("Hello!", { signal: stop.signal })) parts.push(part);
    })();
    await vi.advanceTimersByTimeAsync(0);
    fake.event("send", { type: "text", text: "Hi" });
    await vi.advanceTimersByTimeAsync(0);
    return { chat, fake, stop, parts, reading };
  }

  const SAID = [
    { role: "user", content: "Hello!" },
    { role: "assistant", content: "Hi" },
  ];

  test("is known to the page without asking the worker", async () => {
    const { chat, fake, reading } = await begin();
    fake.answer("send", ANSWER);
    await reading;
    expect(await chat.messages()).toEqual([SAID[0], { role: "assistant", content: "Hi!" }]);
  });

  test("keeps the text so far when a stop has no reply, and the worker gets it before the next message", async () => {
    const { chat, fake, stop, parts, reading } = await begin();
    stop.abort();
    await vi.advanceTimersByTimeAsync(1000);
    await reading;
    expect(parts.at(-1)).toMatchObject({ type: "done", text: "Hi", finish: "abort" });
    expect(await chat.messages()).toEqual(SAID);
    const next = chat.send("And?").next();
    await vi.advanceTimersByTimeAsync(0);
    expect(fake.calls.filter(({ method }) => method === "send").length).toBe(1);
    fake.answer("send", { ...ANSWER, finish: "abort" });
    await vi.advanceTimersByTimeAsync(0);
    const reported = fake.calls.findLast(({ method }) => method === "setMessages");
    expect(reported?.request).toEqual({ session: 5, messages: [{ role: "system", content: "Be brief." }, ...SAID] });
    fake.answer("setMessages", null);
    await vi.advanceTimersByTimeAsync(0);
    expect(fake.calls.filter(({ method }) => method === "send").length).toBe(2);
    fake.event("send", { type: "text", text: "Well" });
    expect((await next).value).toEqual({ type: "text", text: "Well" });
  });

  test("keeps the text so far when the worker has to be ended", async () => {
    const { chat, parts, reading } = await begin();
    const { worker } = acquire("http://localhost/loop/");
    const stop = AbortSignal.abort();
    worker.call("unload", { model: 2 }, { brief: true, signal: stop }).catch(() => undefined);
    worker.call("unload", { model: 2 }, { brief: true }).catch(() => undefined);
    await vi.advanceTimersByTimeAsync(15_000);
    await reading;
    expect(parts.at(-1)).toMatchObject({ type: "done", text: "Hi", finish: "lost" });
    expect(await chat.messages()).toEqual(SAID);
    await expect(chat.send("And?").next()).rejects.toBeInstanceOf(LostError);
    expect(await chat.messages()).toEqual(SAID);
  });
});
