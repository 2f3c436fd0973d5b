/** A visit to a bundle: loads it, sends a message, and presses Stop where an answer takes too long. */

import type * as gemtab from "../../src/api/index.ts";

export interface Outcome {
  outcome: "accepted" | "typed" | "untyped" | "hang" | "stopped" | "fooled";
  name: string;
  message: string;
}

export interface Visit {
  /** The bundle's address. */
  url: string;
  /** The folder of gemtab's scripts, where they are not beside the module. */
  assets?: string;
  /** The milliseconds after which Stop is pressed. */
  limit: number;
  /** The milliseconds that the page may then take to be free. */
  grace: number;
}

type Gemtab = Pick<typeof gemtab, "Gemma" | "GemtabError" | "AbortError">;

/** The maximum bytes of GPU memory of a bundle: far more than those of the unmodified one. */
const MEMORY = 64 << 20;

/** Visit a bundle. Never rejects. */
export async function visit(api: Gemtab, { url, assets, limit, grace }: Visit): Promise<Outcome> {
  const stop = new AbortController();
  const timers: ReturnType<typeof setTimeout>[] = [];
  const never = new Promise<Outcome>((give) => {
    const late = () => give({ outcome: "hang", name: "", message: `not free ${grace} ms after Stop` });
    const press = () => {
      stop.abort();
      timers.push(setTimeout(late, grace));
    };
    timers.push(setTimeout(press, limit));
  });
  const used = use(api, url, assets, stop.signal).catch((error) => failed(api, error, stop.signal));
  const outcome = await Promise.race([used, never]);
  for (const timer of timers) clearTimeout(timer);
  return outcome;
}

async function use(api: Gemtab, url: string, assets: string | undefined, signal: AbortSignal): Promise<Outcome> {
  const gemma = await api.Gemma.load(url, { signal, assets, memory: MEMORY });
  try {
    const { gpuBytes } = gemma.info.stats;
    if (gpuBytes > MEMORY) return { outcome: "fooled", name: "memory", message: `takes ${gpuBytes} bytes` };
    let text = "";
    for await (const part of gemma.chat().send("hi", { maxTokens: 2, seed: 1, signal })) {
      if (part.type === "done" && part.finish === "abort") return { outcome: "stopped", name: "abort", message: "" };
      if (part.type === "done") text = part.text;
    }
    return { outcome: "accepted", name: "", message: text.slice(0, 200) };
  } finally {
    await gemma.dispose();
  }
}

function failed(api: Gemtab, error: unknown, signal: AbortSignal): Outcome {
  const name = error instanceof Error ? error.constructor.name : typeof error;
  const message = error instanceof Error ? error.message : String(error);
  // Unexpected errors are InternalErrors.
  if (!(error instanceof api.GemtabError) || error.name === "InternalError")
    return { outcome: "untyped", name, message };
  if (signal.aborted && error instanceof api.AbortError) return { outcome: "stopped", name, message };
  return { outcome: "typed", name: error.name, message };
}
