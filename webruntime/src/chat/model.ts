/** Makes the chat side of a loaded bundle, on which the worker opens conversations. */

import { objectIn } from "../bundle/json-text.ts";
import { LIMITS } from "../bundle/limits.gen.ts";
import type { Manifest } from "../bundle/manifest.gen.ts";
import type { TextEngine } from "../engine/interface.ts";
import { BundleError } from "../errors.ts";
import { BUDGETS } from "../facts.gen.ts";
import { type ChatTemplate, loadChatTemplate } from "../input/chat-template.ts";
import { strip } from "../input/jinja/text.ts";
import { ControlTokens } from "../input/spoken.ts";
import { loadTokenizer, type Tokenizer } from "../input/tokenizer.ts";
import type { ImageDetail } from "../messages.ts";
import { checkTaken, type ReadMedium } from "./conversation-media.ts";
import { Encoder } from "./encoder.ts";
import { readGenerationConfig } from "./generation-config.ts";
import type { ChatModel } from "./interface.ts";
import { Placeholders } from "./placeholders.ts";
import { PromptCache } from "./prompt-cache.ts";
import { type ChatParts, Session } from "./session.ts";
import { oneAtATime } from "./turns.ts";

/** The factor by which normalization may shorten a text. Also the UTF-16 units of a stand-in character. */
const SLACK = 2;

/**
 * Open the chat side of a bundle.
 *
 * @param openReader loads the code that reads media; called at the first image, audio or video
 */
export async function openChat(engine: TextEngine, openReader: () => Promise<ReadMedium>): Promise<ChatModel> {
  const { files } = engine;
  const [tokenizer, template, tokenizerConfig, config] = await Promise.all([
    loadTokenizer(files),
    loadChatTemplate(files),
    files.json("tokenizer_config.json"),
    files.json("generation_config.json"),
  ]);
  const generation = readGenerationConfig(objectIn(config, "generation_config.json"));
  const inputs = takenInputs(engine);
  const details = takenDetails(engine);
  const maxText = engine.context * tokenizer.longest * SLACK;
  tokenizer.most = maxText;
  const placeholders = new Placeholders(objectIn(tokenizerConfig, "tokenizer_config.json"), tokenizer);
  const parts: ChatParts = {
    engine,
    tokenizer,
    template,
    control: controlTokens(tokenizer, template, placeholders.tokens.keys()),
    generation,
    maxText,
    cache: new PromptCache(engine),
    placeholders,
    encoder: new Encoder(engine, details),
    readMedium: async (part, signal) => {
      checkTaken(part, inputs);
      return (await openReader())(part, signal);
    },
    exclusively: oneAtATime(),
  };
  return {
    sampling: { ...generation.sampling, seed: 0 },
    inputs,
    details,
    open: (options) => new Session(parts, options),
  };
}

/**
 * Return the control tokens: special tokens, added tokens that the template writes, and media placeholders, which need
 * not be tokens. Tokens of white space alone are text.
 *
 * @throws BundleError for more characters of control tokens than can be searched
 */
export function controlTokens(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  placeholders: Iterable<string> = [],
): ControlTokens {
  const control = tokenizer.added.filter(
    ({ content, special }) => special || (strip(content) !== "" && template.names(content)),
  );
  const written = [...new Set([...control.map(({ content }) => content), ...placeholders])];
  const units = written.reduce((sum, { length }) => sum + length, 0);
  if (units <= LIMITS.CONTROL_UNITS) return new ControlTokens(written);
  const [count, found, most] = [written.length, units, LIMITS.CONTROL_UNITS].map((one) => one.toLocaleString("en"));
  throw new BundleError(
    `tokenizer.json has ${count} control tokens of ${found} characters, but at most ${most} characters can be ` +
      "distinguished from text. Let fewer tokens be special, and export the checkpoint again.",
    "tokenizer.json",
  );
}

/** Return the inputs that the bundle lists and has towers for. */
function takenInputs({ files, towerTokens }: TextEngine): Manifest["inputs"] {
  return files.manifest.inputs.filter(
    (input) => input === "text" || towerTokens[input === "audio" ? "audio" : "image"] !== undefined,
  );
}

/** Return the image budgets that the engine can take, in tokens. */
function takenDetails({ towerTokens, blockTokens }: TextEngine): ImageDetail[] {
  const most = Math.min(towerTokens.image ?? 0, blockTokens ?? Number.POSITIVE_INFINITY);
  return BUDGETS.filter((budget) => budget <= most);
}
