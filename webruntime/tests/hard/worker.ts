/** The worker's script in a thread of Node: a browser's scope, and a GPU that is a CPU. */

import { parentPort } from "node:worker_threads";
import { create, globals } from "webgpu";
import { Host } from "../../src/worker/host.ts";
import { type Port, serve } from "../../src/worker/transport.ts";
import { faultyGpu } from "./faulty-gpu.ts";
import type { Faults } from "./host.ts";

Object.assign(globalThis, globals);
// A software GPU spends most of its compile time on clearing workgroup memory.
const gpu = create(["enable-dawn-features=disable_workgroup_init"]);
const navigator: { gpu: GPU } = { gpu };
Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });

/** The listeners of the page's current worker. A page that ends its worker gets the same thread for the next one. */
const listeners = new Set<(event: MessageEvent) => void>();
const port: Port = {
  postMessage: (message, transfer) => parentPort?.postMessage(message, transfer as never),
  addEventListener: (_, listener) => listeners.add(listener),
};

/** Dawn aborts the process when a thread with devices ends. */
parentPort?.on("message", (data: { ended?: true; faults?: Faults }) => {
  if (data.ended) begin();
  else if (data.faults) navigator.gpu = faultyGpu(gpu, data.faults.device);
  else for (const listener of [...listeners]) listener({ data } as MessageEvent);
});

function begin(): void {
  listeners.clear();
  serve(port, new Host().handlers);
  parentPort?.postMessage({ idle: true });
}

const unhandled = (error: unknown) => {
  parentPort?.postMessage({ unhandled: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
};
process.on("unhandledRejection", unhandled);
process.on("uncaughtException", unhandled);

begin();
