/** The chat side of a loaded bundle: what the worker opens conversations on. */

import type { TextEngine } from "../engine/engine-interface.ts";
import { loadChatTemplate } from "../input/chat-template.ts";
import { loadTokenizer } from "../input/tokenizer.ts";
import type { ChatModel } from "../worker/protocol.ts";
import { readGenerationConfig } from "./generation-config.ts";
import { PromptCache } from "./prompt-cache.ts";
import { type ChatParts, Session } from "./session.ts";

export async function openChat(engine: TextEngine): Promise<ChatModel> {
  const { files } = engine;
  const [tokenizer, template, config] = await Promise.all([
    loadTokenizer(files),
    loadChatTemplate(files),
    files.json("generation_config.json"),
  ]);
  const generation = readGenerationConfig(config);
  const cache = new PromptCache(engine);
  const parts: ChatParts = { engine, cache, tokenizer, template, generation, exclusively: oneAtATime() };
  return {
    sampling: { ...generation.sampling, seed: 0 },
    open: (options) => new Session(parts, options),
  };
}

/** Starts each task when the one before has ended, well or badly. */
function oneAtATime(): ChatParts["exclusively"] {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const run = last.then(task, task);
    last = run.catch(() => undefined);
    return run;
  };
}
