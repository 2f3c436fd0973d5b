/** The worker's script. */

import { Host } from "./host.ts";
import { type Port, serve } from "./transport.ts";

serve(globalThis as unknown as Port, new Host().handlers);
