/** Uses the runtime without the element. */

import type { Chat, ChatResult, Gemma, LoadOptions, MediaKind, Part } from "../../webruntime/src/api/index.ts";
import { bundleAt, bytesOf, importApi } from "./site.ts";

declare global {
  var gemma: Gemma;
  var chat: Chat;
  /** "loading", "ready", or an error message. */
  var state: string;
  var stage: string;
}

const wordsOf = ({ name, message }: Error): string => `${name}: ${message}`;

/** Load a bundle into the global `gemma`. */
export async function load([site, bundle]: [string, string]): Promise<void> {
  const { Gemma } = await importApi(site);
  globalThis.gemma = await Gemma.load(bundleAt(site, bundle));
}

/** Begin to load a bundle. The globals `state` and `stage` show the progress. */
export function startLoad([site, bundle, options]: [string, string, LoadOptions]): void {
  globalThis.state = "loading";
  globalThis.stage = "manifest";
  const onProgress: LoadOptions["onProgress"] = (progress) => {
    globalThis.stage = progress.stage;
  };
  importApi(site)
    .then(({ Gemma }) => Gemma.load(bundleAt(site, bundle), { ...options, onProgress }))
    .then((gemma) => {
      globalThis.gemma = gemma;
      globalThis.state = "ready";
    })
    .catch((error: Error) => {
      globalThis.state = wordsOf(error);
    });
}

/** Load a bundle by its address and unload it. Returns "loaded", or the error message. */
export async function tryLoad([src, options]: [string, LoadOptions]): Promise<string> {
  const { Gemma } = await importApi(new URL("/", document.baseURI).href);
  try {
    await (await Gemma.load(src, options)).dispose();
    return "loaded";
  } catch (error) {
    return wordsOf(error as Error);
  }
}

async function lastOf(parts: AsyncIterable<Part>): Promise<Part | undefined> {
  let last: Part | undefined;
  for await (const part of parts) last = part;
  return last;
}

/** Return the last part of an answer of the global `chat`. */
export const say = ([text, maxTokens]: [string, number]): Promise<Part | undefined> =>
  lastOf(chat.send(text, { temperature: 0, maxTokens }));

interface Question {
  kind: MediaKind;
  type: string;
  data: string;
  question: string;
}

/** Return the ids of the answers to questions about files, each in its own conversation. */
export async function askAbout([site, bundle, questions, maxTokens]: [string, string, Question[], number]): Promise<
  number[][]
> {
  await load([site, bundle]);
  const chat = gemma.chat({ temperature: 0, maxTokens });
  const written: number[][] = [];
  for (const { kind, type, data, question } of questions) {
    const file = new Blob([bytesOf(data)], { type });
    await chat.setMessages([]);
    const media = { image: { type: "image", image: file }, audio: { type: "audio", audio: file } } as const;
    const medium = kind === "video" ? ({ type: "video", video: file } as const) : media[kind];
    const last = await lastOf(chat.send([medium, { type: "text", text: question }]));
    if (last?.type === "done") written.push(last.ids);
  }
  await gemma.dispose();
  return written;
}

interface Answered extends Partial<ChatResult> {
  loadSeconds: number;
  answerSeconds: number;
}

/** Load a bundle and ask. Returns the answer, and the time of each step. */
export async function answer([site, bundle, prompt, maxTokens]: [string, string, string, number]): Promise<Answered> {
  await importApi(site);
  const began = performance.now();
  await load([site, bundle]);
  const loaded = performance.now();
  const done = await lastOf(gemma.chat().send(prompt, { temperature: 0, maxTokens }));
  await gemma.dispose();
  return { ...done, loadSeconds: (loaded - began) / 1000, answerSeconds: (performance.now() - loaded) / 1000 };
}
