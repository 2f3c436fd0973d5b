/**
 * The arguments of pages: invalid ones are rejected with an error that names the argument, the found value and the
 * expected values.
 */

import { describe, expect, test } from "vitest";
import { Chat, type ChatOptions } from "../../src/api/chat.ts";
import { Gemma } from "../../src/api/gemma.ts";
import { checkChatOptions, checkLoadOptions, checkSendOptions } from "../../src/api/options.ts";
import { preview } from "../../src/api/preview.ts";
import type { WorkerThread } from "../../src/api/worker.ts";
import type { SendOptions, SessionOptions } from "../../src/chat/interface.ts";
import { UsageError } from "../../src/errors.ts";
import type { ChatMessage } from "../../src/messages.ts";

const image = new Blob(["x"], { type: "image/png" });

/** A worker that keeps one conversation and answers only with its length. */
class Thread {
  messages: ChatMessage[] = [];
  readonly sent: SendOptions[] = [];

  call = (async (method: string, request: unknown) => {
    if (method === "openSession") this.messages = (request as SessionOptions).messages ?? [];
    if (method === "setMessages") this.messages = (request as { messages: ChatMessage[] }).messages;
    if (method === "messages") return structuredClone(this.messages);
    if (method === "send") this.sent.push(request as SendOptions);
    return method === "openSession" ? { session: 1 } : { text: "", toolCalls: [] };
  }) as WorkerThread["call"];
}

function open(options: ChatOptions = {}): { chat: Chat; thread: Thread } {
  const thread = new Thread();
  return { chat: new Chat(thread, 1, options), thread };
}

function refusal(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  return "";
}

describe("options", () => {
  test.each([
    ["temprature", "temperature"],
    ["top_k", "topK"],
    ["max_tokens", "maxTokens"],
    ["max_new_tokens", "maxTokens"],
    ["maxToken", "maxTokens"],
    ["temp", "temperature"],
    ["Seed", "seed"],
  ])("that are not known are refused, with the name that is nearest: %s", (name, nearest) => {
    const message = refusal(() => checkSendOptions({ [name]: 1 }));
    expect(message).toBe(`${name}: this option is unknown. Did you mean "${nearest}"?`);
  });

  test.each(["tools", "schema", "stop", "logprobs", "constructor", "__proto__x"])("%s is not known", (name) => {
    expect(refusal(() => checkChatOptions({ [name]: [] }))).toMatch(new RegExp(`^${name}: this option is unknown`));
    expect(refusal(() => checkSendOptions({ [name]: [] }))).toMatch(
      /Known options: temperature, topK, topP, seed, maxTokens/,
    );
  });

  test.each([
    [{ temperature: "hot" }, 'temperature: found "hot"; expected a number from 0 on.'],
    [{ temperature: -0.1 }, "temperature: found -0.1; expected a number from 0 on."],
    [{ temperature: Number.NaN }, "temperature: found NaN; expected a number from 0 on."],
    [{ temperature: Number.POSITIVE_INFINITY }, "temperature: found Infinity; expected a number from 0 on."],
    [{ temperature: null }, "temperature: found null; expected a number from 0 on."],
    [{ topP: 7 }, "topP: found 7; expected a number from 0 to 1."],
    [{ topK: 2.5 }, "topK: found 2.5; expected a whole number from 0 to 2147483647."],
    [{ maxTokens: -3 }, "maxTokens: found -3; expected a whole number from 1 on."],
    [{ maxTokens: 0 }, "maxTokens: found 0; expected a whole number from 1 on."],
    [{ seed: -1 }, "seed: found -1; expected a whole number from 0 to 4294967295."],
    [{ seed: 2 ** 32 }, "seed: found 4294967296; expected a whole number from 0 to 4294967295."],
    [{ signal: {} }, "signal: found an object (Object); expected an AbortSignal."],
    [{ signal: new AbortController() }, "signal: found an object (AbortController); expected an AbortSignal."],
    ["hot", 'options: found "hot"; expected an object.'],
    [null, "options: found null; expected an object."],
    [[], "options: found a list; expected an object."],
  ])("of an answer cannot be %j", (options, message) => {
    expect(refusal(() => checkSendOptions(options))).toBe(message);
  });

  test.each([
    [{ context: 0 }, "context: found 0; expected a whole number from 1 on."],
    [{ memory: "8GB" }, 'memory: found "8GB"; expected a whole number from 1 on.'],
    [{ onProgress: "yes" }, 'onProgress: found "yes"; expected a function.'],
    [{ hostEmbeddings: true }, 'hostEmbeddings: true is not known. Choose one of "auto", "never", "always".'],
    [{ plan: "f64" }, 'plan: "f64" is not known. Choose one of "auto", "f16", "f32".'],
    [{ assets: 7 }, "assets: found 7; expected an address."],
    [{ progress: 1 }, 'progress: this option is unknown. Did you mean "onProgress"?'],
    [
      { offline: true },
      /^offline: .* Known options: onProgress, signal, context, memory, hostEmbeddings, assets, plan\.$/,
    ],
    [{ context_length: 7 }, 'context_length: this option is unknown. Did you mean "context"?'],
  ])("of a load cannot be %j", (options, message) => {
    expect(refusal(() => checkLoadOptions(options))).toMatch(message);
  });

  test("that are left out or undefined are as they are by default", async () => {
    checkLoadOptions({ plan: undefined, signal: AbortSignal.timeout(9) });
    const { chat, thread } = open({ temperature: 0.5, seed: 3 });
    for await (const _ of chat.send("Hi", { temperature: undefined, topK: 4, maxTokens: undefined }));
    expect(thread.sent[0]?.sampling).toEqual({ temperature: 0.5, seed: 3, topK: 4 });
  });

  test("are checked by Gemma.load and preview before anything is asked for", async () => {
    await expect(Gemma.load("x", { context: 0 })).rejects.toThrow("context: found 0");
    await expect(Gemma.load(undefined as never)).rejects.toThrow("url: found nothing; expected an address.");
    await expect(preview("x", {} as never)).rejects.toThrow("signal: found an object (Object)");
    await expect(preview("x", undefined, "f8" as never)).rejects.toThrow('plan: "f8" is not known');
  });
});

const BAD_MESSAGES: [unknown, string][] = [
  ["Hello!", 'messages: found "Hello!"; expected a list.'],
  [{ role: "user", content: "Hello!" }, "messages: found an object (Object); expected a list."],
  [["Hello!"], 'messages[0]: found "Hello!"; expected an object.'],
  [[undefined], "messages[0]: found nothing; expected an object."],
  [
    [{ role: "tool", content: "7" }],
    'messages[0].role: "tool" is not known. Choose one of "system", "user", "assistant".',
  ],
  [
    [{ role: "User", content: "Hi" }],
    'messages[0].role: "User" is not known. Choose one of "system", "user", "assistant". Did you mean "user"?',
  ],
  [[{ content: "Hi" }], 'messages[0].role: nothing is not known. Choose one of "system", "user", "assistant".'],
  [[{ role: "user", content: null }], "messages[0].content: found null; expected text, or a list of parts."],
  [[{ role: "user" }], "messages[0].content: found nothing; expected text, or a list of parts."],
  [
    [{ role: "user", content: "Hi", contents: "Ho" }],
    'messages[0].contents: this option is unknown. Did you mean "content"?',
  ],
  [
    [{ role: "assistant", content: "", toolCalls: [{ name: "add", arguments: {} }] }],
    "messages[0].toolCalls[0].arguments: found an object (Object); expected text.",
  ],
];

const BAD_CONTENT: [unknown, string][] = [
  [7, "content: found 7; expected text, or a list of parts."],
  [null, "content: found null; expected text, or a list of parts."],
  [["Hi"], 'content[0]: found "Hi"; expected an object.'],
  [[{ type: "text" }], "content[0].text: found nothing; expected text."],
  [
    [{ type: "image_url", url: "x" }],
    'content[0].type: "image_url" is not known. Choose one of "text", "image", "audio", "video". Did you mean "image"?',
  ],
  [[{ text: "Hi" }], 'content[0].type: nothing is not known. Choose one of "text", "image", "audio", "video".'],
  [[{ type: "image", image: "cat.jpg" }], 'content[0].image: found "cat.jpg"; expected a Blob, such as a file.'],
  [[{ type: "image", image: {} }], "content[0].image: found an object (Object); expected a Blob, such as a file."],
  [[{ type: "image" }], "content[0].image: found nothing; expected a Blob, such as a file."],
  [[{ type: "image", image, details: 280 }], 'content[0].details: this option is unknown. Did you mean "detail"?'],
  [
    [{ type: "image", image, detail: 300 }],
    "content[0].detail: 300 is not known. Choose one of 70, 140, 280, 560, 1120.",
  ],
  [
    [{ type: "audio", audio: [1, 2] }],
    "content[0].audio: found a list; expected a Blob, such as a file, or { samples: Float32Array, rate }.",
  ],
  [
    [{ type: "audio", audio: { samples: [1], rate: 16000 } }],
    "content[0].audio.samples: found a list; expected a Float32Array.",
  ],
  [
    [{ type: "audio", audio: { samples: new Float32Array(1) } }],
    "content[0].audio.rate: found nothing; expected a whole number from 1 on.",
  ],
  [[{ type: "video", video: image, frames: 0 }], "content[0].frames: found 0; expected a whole number from 1 on."],
  [
    [{ type: "audio", audio: image, long: "cut" }],
    'content[0].long: "cut" is not known. Choose one of "segments", "refuse".',
  ],
];

describe("messages", () => {
  test.each(BAD_MESSAGES)("cannot be %j", async (messages, message) => {
    const { chat } = open({ messages: [{ role: "user", content: "Hello!" }] });
    expect(refusal(() => checkChatOptions({ messages }))).toBe(message);
    await expect(chat.setMessages(messages as never)).rejects.toThrow(message);
    expect(await chat.messages()).toEqual([{ role: "user", content: "Hello!" }]);
  });

  test.each(BAD_CONTENT)("cannot hold %j", async (content, message) => {
    const { chat, thread } = open();
    await expect(chat.send(content as never).next()).rejects.toThrow(new UsageError(message));
    expect(thread.sent).toEqual([]);
  });

  const whole: ChatMessage[] = [
    { role: "system", content: "Be brief." },
    {
      role: "user",
      content: [
        { type: "image", image, detail: 70 },
        { type: "text", text: "" },
      ],
    },
    { role: "assistant", content: "", toolCalls: [{ name: "add", arguments: "x:1" }] },
  ];

  test.each([
    [undefined, whole],
    ["Be kind.", whole.slice(1)],
    ["", whole.slice(1)],
    ["Be kind.", []],
  ])("come back as they were set, with the system prompt %j", async (system, messages) => {
    const { chat, thread } = open({ system, messages });
    const inside = structuredClone(thread.messages);
    expect(await chat.messages()).toEqual(messages);
    await chat.setMessages(await chat.messages());
    expect(thread.messages).toEqual(inside);
  });

  test("have one system prompt", async () => {
    expect(refusal(() => open({ system: "Be kind.", messages: whole }))).toMatch(/two system prompts/);
    const { chat } = open({ system: "Be kind." });
    await expect(chat.setMessages(whole)).rejects.toThrow("two system prompts");
  });
});
