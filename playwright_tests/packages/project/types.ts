/** Checks the package's types. No code here runs. */

import { BundleError, type ChatOptions, type Content, Gemma, type ModelInfo } from "gemtab";
import { type ChatState, GemtabChat } from "gemtab/chat";
import { AbortError, type EngineStats, TextEngine } from "gemtab/engine";

export const made: HTMLElement = new GemtabChat();

export async function describe(bundle: string, image: Blob): Promise<string> {
  const gemma = await Gemma.load(bundle, { onProgress: ({ stage }) => console.log(stage) });
  const options: ChatOptions = { system: "Be brief." };
  const content: Content = [
    { type: "image", image },
    { type: "text", text: "What is this?" },
  ];
  let text = "";
  for await (const part of gemma.chat(options).send(content)) if (part.type === "text") text += part.text;
  // @ts-expect-error: types are known, so that a typing error is found
  await gemma.dispoze();
  return text;
}

/** The element is known by its name, and its events by theirs. */
export function listen(): void {
  const chat = document.querySelector("gemtab-chat") ?? document.createElement("gemtab-chat");
  chat.src = "bundles/tiny/";
  chat.addEventListener("message", ({ detail }) => {
    const { text, finish }: { text: string; finish: "stop" | "length" | "memory" | "abort" | "lost" } = detail;
    console.log(text, finish);
  });
  chat.addEventListener("ready", (event) => {
    const info: ModelInfo = event.detail;
    console.log(info.context);
  });
  chat.addEventListener("statechange", function ({ detail }) {
    const state: ChatState = detail.state;
    console.log(state, this.src);
  });
  chat.addEventListener("progress", ({ detail }) => console.log(detail.stage), { once: true });
  chat.addEventListener("token", ({ detail }) => console.log(detail.type === "tool_call" ? detail.name : detail.text));
  chat.addEventListener("error", ({ detail }) => console.log(detail.error instanceof BundleError));
  chat.addEventListener("click", (event) => console.log(event.clientX));
  chat.addEventListener("of-a-page", (event: Event) => console.log(event.type));
  // @ts-expect-error: of the element's own event, not of progress events in general
  chat.addEventListener("progress", (event) => console.log(event.lengthComputable));
  // @ts-expect-error: an option that is not known
  chat.options = { temprature: 1 };
}

/** Token ids alone. */
export async function next(bundle: string, ids: Uint32Array, signal: AbortSignal): Promise<[number[], EngineStats]> {
  const engine = await TextEngine.load(bundle, { context: 512 });
  try {
    engine.setSampling({ temperature: 0, topK: 0, topP: 1, seed: 0 });
    await engine.fill(ids.slice(0, -1), { signal });
    const chosen: number[] = [];
    for await (const id of engine.decode(ids[ids.length - 1] ?? 0, { maxTokens: 4, signal })) chosen.push(id);
    return [chosen, engine.stats];
  } catch (error) {
    if (error instanceof AbortError) console.log("stopped");
    throw error;
  } finally {
    engine.dispose();
  }
}
