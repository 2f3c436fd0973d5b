import { afterEach, expect, test } from "vitest";
import { AbortError, BundleError, UsageError } from "../../src/errors.ts";
import { connect, type Handlers, type Port, serve } from "../../src/worker/transport.ts";

type Methods = {
  double: { request: number; event: never; result: number };
  count: { request: { to: number }; event: number; result: string };
  wait: { request: null; event: "waiting"; result: null };
  fail: { request: "bundle" | "bug"; event: never; result: null };
  give: { request: ArrayBuffer; event: ArrayBuffer; result: number };
};

const handlers: Handlers<Methods> = {
  double: async (value) => value * 2,
  count: async ({ to }, { emit }) => {
    for (let value = 1; value <= to; value++) emit(value);
    return "done";
  },
  wait: (_, { signal, emit }) => {
    emit("waiting");
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  },
  fail: async (kind) => {
    throw kind === "bundle" ? new BundleError("short", "onnx/x.onnx_data", 3) : new TypeError("x is not a function");
  },
  give: async (buffer, { emit }) => {
    const bytes = buffer.byteLength;
    emit(buffer, [buffer]);
    return bytes + buffer.byteLength;
  },
};

let channel: MessageChannel;
afterEach(() => {
  channel.port1.close();
  channel.port2.close();
});

function remote() {
  channel = new MessageChannel();
  channel.port1.start();
  channel.port2.start();
  serve<Methods>(channel.port2 as Port, handlers);
  return connect<Methods>(channel.port1 as Port);
}

test("calls that cross get their own results", async () => {
  const call = remote();
  expect(await Promise.all([call("double", 4), call("double", 21)])).toEqual([8, 42]);
});

test("events come in order and before the result", async () => {
  const log: unknown[] = [];
  const result = await remote()("count", { to: 3 }, { onEvent: (event) => log.push(event) });
  log.push(result);
  expect(log).toEqual([1, 2, 3, "done"]);
});

test("an abort reaches the handler of its own call", async () => {
  const call = remote();
  const controller = new AbortController();
  const onEvent = () => controller.abort();
  const waiting = call("wait", null, { signal: controller.signal, onEvent });
  await expect(waiting).rejects.toBeInstanceOf(AbortError);
  expect(await call("double", 1)).toBe(2);
});

test("a signal that has already fired prevents the call", async () => {
  await expect(remote()("double", 1, { signal: AbortSignal.abort() })).rejects.toBeInstanceOf(AbortError);
});

test("an error of gemtab keeps its class, file and slice", async () => {
  const failing = remote()("fail", "bundle");
  await expect(failing).rejects.toBeInstanceOf(BundleError);
  await expect(failing).rejects.toMatchObject({ message: "short", file: "onnx/x.onnx_data", slice: 3 });
});

test("a bug becomes an error with its message", async () => {
  await expect(remote()("fail", "bug")).rejects.toThrow("x is not a function");
});

test("buffers are transferred, not copied, both ways", async () => {
  const buffer = new ArrayBuffer(1000);
  const sizes: number[] = [];
  const onEvent = (event: ArrayBuffer) => void sizes.push(event.byteLength);
  // The handler sees 1000 bytes before it transfers the buffer back, and 0 after.
  expect(await remote()("give", buffer, { transfer: [buffer], onEvent })).toBe(1000);
  expect(buffer.byteLength).toBe(0);
  expect(sizes).toEqual([1000]);
});

test("a method that does not exist is rejected, inherited names included", async () => {
  const call = remote() as unknown as (method: string, request: unknown) => Promise<unknown>;
  await expect(call("nothing", 1)).rejects.toBeInstanceOf(UsageError);
  await expect(call("toString", 1)).rejects.toThrow(/no method "toString"/);
});
