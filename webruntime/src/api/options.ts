/** The options of each call, as tables. A missing or additional member does not compile. */

import { HOST_EMBEDDINGS_CHOICES, PLAN_CHOICES } from "../bundle/facts.gen.ts";
import { BUDGETS, LONG_AUDIO, SETTINGS } from "../facts.gen.ts";
import type {
  AudioPart,
  ChatMessage,
  ContentPart,
  ImagePart,
  Samples,
  TextPart,
  ToolCall,
  VideoPart,
} from "../messages.ts";
import type { AnswerOptions, ChatOptions, SendOptions } from "./chat.ts";
import {
  flag,
  instance,
  isObject,
  listOf,
  number,
  OPTIONS,
  oneOf,
  type Rule,
  rule,
  shape,
  text,
  whole,
} from "./check.ts";
import type { LoadOptions } from "./gemma.ts";

type TableOf<Options> = Record<keyof Options & string, Rule>;

const ANSWER: TableOf<AnswerOptions> = {
  temperature: number(SETTINGS.temperature[0]),
  topK: whole(...SETTINGS.top_k),
  topP: number(...SETTINGS.top_p),
  seed: whole(...SETTINGS.seed),
  maxTokens: whole(SETTINGS.max_tokens[0]),
};

/** An AbortSignal. */
export const signalRule = instance("an AbortSignal", "AbortSignal");
const file = instance("a Blob, such as a file", "Blob", "File");
const detail = oneOf(BUDGETS);
const long = oneOf(LONG_AUDIO);
const type = text;

const SAMPLES: TableOf<Samples> = {
  samples: instance("a Float32Array", "Float32Array"),
  rate: whole(1),
};
const samples = shape(SAMPLES, ["samples", "rate"]);

const audio: Rule = (found, path) => {
  if (isObject(found) && "samples" in found) samples(found, path);
  else instance("a Blob, such as a file, or { samples: Float32Array, rate }", "Blob", "File")(found, path);
};

const TEXT: TableOf<TextPart> = { type, text };
const IMAGE: TableOf<ImagePart> = { type, image: file, detail };
const AUDIO: TableOf<AudioPart> = { type, audio, long };
const VIDEO: TableOf<VideoPart> = { type, video: file, frames: whole(1), detail, audio: flag, long };

/** The rules of parts by their types. Each part needs the member that is named after its type. */
const PARTS: Record<ContentPart["type"], Rule> = {
  text: shape(TEXT, ["text"]),
  image: shape(IMAGE, ["image"]),
  audio: shape(AUDIO, ["audio"]),
  video: shape(VIDEO, ["video"]),
};
const partType = oneOf(Object.keys(PARTS));

const part: Rule = (found, path) => {
  const { type } = isObject(found) ? found : {};
  if (isObject(found)) partType(type, `${path}.type`);
  PARTS[(type ?? "text") as ContentPart["type"]](found, path);
};

const parts = listOf(part);

/** Text, or text and media. */
export const contentRule: Rule = (found, path) => {
  if (Array.isArray(found)) parts(found, path);
  else rule("text, or a list of parts", (content) => typeof content === "string")(found, path);
};

const TOOL_CALL: TableOf<ToolCall> = { name: text, arguments: text };

const MESSAGE: TableOf<ChatMessage> = {
  role: oneOf(["system", "user", "assistant"]),
  content: contentRule,
  toolCalls: listOf(shape(TOOL_CALL, ["name", "arguments"])),
};

/** A list of messages. */
export const messagesRule = listOf(shape(MESSAGE, ["role", "content"]));

const SEND: TableOf<SendOptions> = { ...ANSWER, signal: signalRule };

const CHAT: TableOf<ChatOptions> = {
  ...ANSWER,
  system: text,
  messages: messagesRule,
  thinking: flag,
  trusted: flag,
};

/** The choice of a plan. */
export const planRule = oneOf(PLAN_CHOICES);
/** An address: text or a URL. */
export const addressRule: Rule = (found, path) => {
  if (!(found instanceof URL)) rule("an address", (address) => typeof address === "string")(found, path);
};

const LOAD: TableOf<LoadOptions> = {
  onProgress: rule("a function", (found) => typeof found === "function"),
  signal: signalRule,
  context: whole(1),
  memory: whole(1),
  hostEmbeddings: oneOf(HOST_EMBEDDINGS_CHOICES),
  assets: addressRule,
  plan: planRule,
};

const [answer, send, chat, load] = [ANSWER, SEND, CHAT, LOAD].map((table) => shape(table)) as [Rule, Rule, Rule, Rule];

/**
 * Check the options of an answer. Throws UsageError, which names the option, the found value and the expected values.
 */
export const checkAnswerOptions = (options: unknown) => answer(options, OPTIONS);
/** Check the options of `Chat.send`. Throws UsageError. */
export const checkSendOptions = (options: unknown) => send(options, OPTIONS);
/** Check the options of `Gemma.chat`. Throws UsageError. */
export const checkChatOptions = (options: unknown) => chat(options, OPTIONS);
/** Check the options of `Gemma.load`. Throws UsageError. */
export const checkLoadOptions = (options: unknown) => load(options, OPTIONS);
/** Check the value of `thinking`. Throws UsageError. */
export const checkThinking = (thinking: unknown) => flag(thinking, "thinking");
