/** The worker's script. */

import { Host } from "./host.ts";
import type { WorkerMessage } from "./protocol.ts";
import { type Port, serve } from "./transport.ts";

const port = globalThis as unknown as Port;
serve(port, new Host().handlers);
// The page waits for a first word.
port.postMessage({ type: "started" } satisfies WorkerMessage, []);
