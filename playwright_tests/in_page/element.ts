/** Uses the page's element as pages do. Records and promises that a test needs later are globals. */

import type { GemtabChat } from "../../site/gemtab-chat.ts";
import type { ChatMessage, Content, Part, SendOptions } from "../../webruntime/src/api/index.ts";
import { bytesOf, importElement, pause, theElement } from "./site.ts";

declare global {
  /** The names of events and their details, since the options were set. */
  var record: [string, unknown][] | undefined;
  var recorder: boolean | undefined;
  var heard: string[];
  var noted: string;
  var asked: typeof navigator.mediaDevices.getUserMedia;
  var hacked: unknown;
}

const EVENTS = ["progress", "ready", "token", "message", "stop", "error", "statechange"] as const;

/** Set the options of later answers, and start a new record of events. */
export function setOptions(options: object): void {
  const chat = theElement();
  chat.options = { temperature: 0, maxTokens: 12, ...options };
  globalThis.record = [];
  if (globalThis.recorder) return;
  globalThis.recorder = true;
  for (const type of EVENTS) {
    chat.addEventListener(type, ({ detail }) => {
      const entry = "error" in detail ? { name: detail.error.name, message: detail.error.message } : detail;
      globalThis.record?.push([type, entry]);
    });
  }
}

/** Return the pressable elements that are smaller than 44 pixels. */
export function smallTargets(): string[] {
  const roots = [document, theElement().shadowRoot as ShadowRoot];
  const pressed = "button, select, textarea, summary, body > * > * > a";
  return roots
    .flatMap((root) => [...root.querySelectorAll(pressed)])
    .map((element) => ({ element, box: element.getBoundingClientRect() }))
    .filter(({ box }) => box.width > 0 && (box.width < 44 || box.height < 44))
    .map(({ element, box }) => `${element.outerHTML.slice(0, 60)} ${box.width}×${box.height}`);
}

/** Return the kinds of parts in each message of the user. */
export function partsOfQuestions(): string[][] {
  const questions = theElement().messages.filter(({ role }) => role === "user");
  return questions.map(({ content }) => (typeof content === "string" ? ["text"] : content.map(({ type }) => type)));
}

/** Return the parts of the first message, without their bytes. */
export function firstParts(): object[] {
  const content = theElement().messages[0]?.content;
  if (!Array.isArray(content)) throw new Error("The first message has no parts.");
  return content.map((part: object) => {
    return Object.fromEntries(Object.entries(part).filter(([, value]) => !(value instanceof Blob)));
  });
}

const inside = (selector: string): Element => {
  const found = theElement().shadowRoot?.querySelector(selector);
  if (!found) throw new Error(`The element has no ${selector}.`);
  return found;
};

const BUBBLING = { bubbles: true, composed: true, cancelable: true };

/** Return a paste event with files and text. Firefox ignores a clipboardData from a script. */
function pasteOf(transfer: DataTransfer): ClipboardEvent {
  const event = new ClipboardEvent("paste", BUBBLING);
  Object.defineProperty(event, "clipboardData", { value: transfer });
  return event;
}

const imageFile = (data: string, name: string): File => new File([bytesOf(data)], name, { type: "image/png" });

/** Drop or paste an image. */
export function transferImage([selector, kind, data]: [string, string, string]): void {
  const transfer = new DataTransfer();
  transfer.items.add(imageFile(data, "held.png"));
  const event = kind === "paste" ? pasteOf(transfer) : new DragEvent(kind, { ...BUBBLING, dataTransfer: transfer });
  inside(selector).dispatchEvent(event);
}

/** Paste text and an image. Returns whether the browser would paste the text. */
export function pasteBoth([text, name, data]: [string, string, string]): boolean {
  const transfer = new DataTransfer();
  if (text) transfer.setData("text/plain", text);
  transfer.items.add(imageFile(data, name));
  return inside("textarea").dispatchEvent(pasteOf(transfer));
}

/**
 * From now on, a request for camera or microphone fails with an error of this name; `asked` is the browser's own
 * function.
 */
export function refuseDevices(name: string): void {
  globalThis.asked = navigator.mediaDevices.getUserMedia;
  navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", name));
}

interface Written {
  tags: string[];
  attributes: string[];
  links: string[];
  hacked: unknown;
}

/** Return the rendering of answers: the elements, their attributes, the schemes of links. */
export function written(log: Element): Written {
  const all = [...log.querySelectorAll(".answer *")];
  return {
    tags: [...new Set(all.map((element) => element.localName))],
    attributes: [...new Set(all.flatMap((element) => element.getAttributeNames()))],
    links: [...log.querySelectorAll<HTMLAnchorElement>("a[href]")].map((link) => link.protocol),
    hacked: globalThis.hacked ?? null,
  };
}

/** Return another element that has loaded the same bundle. */
async function second(chat: GemtabChat): Promise<GemtabChat> {
  const made = document.createElement("gemtab-chat");
  made.src = chat.src;
  document.querySelector("main")?.append(made);
  await made.load();
  return made;
}

/** Return the model numbers of two elements. */
export async function modelsOfTwo(): Promise<(number | undefined)[]> {
  const first = theElement();
  const other = await second(first);
  const models = [first.gemma?.info.model, other.gemma?.info.model];
  other.remove();
  return models;
}

/**
 * Stop a second element's answer, which waits for the first one's. Returns its end, both states, and the second
 * element's messages.
 */
export async function stopQueued(): Promise<unknown[]> {
  const chat = theElement();
  const other = await second(chat);
  const ended = other.send("And me?").then(() => "ended", String);
  await pause(100);
  other.stop();
  const found = [await ended, other.state, chat.state, other.messages.length];
  other.remove();
  return found;
}

/** Record, in the global `heard`, which events with the element's names reach other targets. */
export function listenAround(): void {
  globalThis.heard = [];
  for (const type of EVENTS) {
    for (const target of [window, document, document.querySelector("main")]) {
      target?.addEventListener(type, () => globalThis.heard.push(type));
    }
  }
}

/** Record the next key in the global `noted`, and whether an input method uses it. */
export function noteKey(): void {
  const note = ({ key, isComposing }: KeyboardEvent) => {
    globalThis.noted = `${key} ${isComposing}`;
  };
  document.addEventListener("keydown", note, { once: true, capture: true });
}

/** Return the messages of the errors that properties and `send` throw for invalid values. */
export async function refusals(): Promise<string[]> {
  const chat = theElement();
  const words: string[] = [];
  const attempts = {
    options: { temprature: 1 },
    messages: [{ role: "user", content: null }],
    examples: [{ media: {} }],
    thinking: "no",
    system: 5,
    src: {},
  };
  for (const [name, value] of Object.entries(attempts)) {
    try {
      Object.assign(chat, { [name]: value });
    } catch (error) {
      words.push(`${(error as Error).name}: ${(error as Error).message}`);
    }
  }
  const content = [{ type: "image", image: "cat.jpg" }] as unknown as Content;
  await chat.send(content).catch((error: Error) => words.push(error.message));
  return words;
}

/** Move the element within the document, and wait longer than an element may be out of it. */
export async function moveAbout(): Promise<void> {
  const chat = theElement();
  const { parentNode: parent, nextSibling: next } = chat;
  if (!parent) throw new Error("The element is not in the document.");
  document.body.append(chat);
  await pause(50);
  chat.remove();
  await pause(50);
  parent.insertBefore(chat, next);
  // Not every browser has moveBefore.
  if (parent instanceof Element && "moveBefore" in parent) {
    const { moveBefore } = parent as { moveBefore(node: Node, child: Node | null): void };
    moveBefore.call(parent, chat, parent.firstChild);
    moveBefore.call(parent, chat, next);
  }
  await pause(1500);
}

const gemmaOf = (chat: GemtabChat) => {
  if (!chat.gemma) throw new Error("The element has no model.");
  return chat.gemma;
};

/** Return the ends of answers whose signal fires before them, and just after they began. */
export async function signalled(): Promise<unknown[]> {
  const ends = [];
  for (const before of [true, false]) {
    const talk = gemmaOf(theElement()).chat({ temperature: 0 });
    const stopper = new AbortController();
    if (before) stopper.abort();
    else setTimeout(() => stopper.abort());
    let last: Part | undefined;
    for await (const part of talk.send("Hello!", { signal: stopper.signal })) last = part;
    if (last?.type !== "done") throw new Error("The answer did not end.");
    ends.push([last.type, last.finish, last.text, (await talk.messages()).length]);
    await talk.dispose();
  }
  return ends;
}

/**
 * Return the messages of a conversation that begins with these, and the ids of an answer before and after setting them
 * again.
 */
export async function askTwice(messages: ChatMessage[]): Promise<unknown[]> {
  const talk = gemmaOf(theElement()).chat({ messages, temperature: 0, maxTokens: 8 });
  const before = await talk.messages();
  const ask = async () => {
    let last: Part | undefined;
    for await (const part of talk.send()) last = part;
    return last?.type === "done" ? last.ids : undefined;
  };
  const first = await ask();
  await talk.setMessages(before);
  return [before, first, await ask()];
}

/**
 * Return the messages of the errors that a chat's `send` throws for invalid values, and the conversation after all of
 * them.
 */
export async function refusedBySend(): Promise<unknown[]> {
  const talk = gemmaOf(theElement()).chat({ messages: [{ role: "user", content: "Hello!" }] });
  const words: string[] = [];
  const attempts: unknown[][] = [["Hi", { topP: 7 }], [null], [[{ type: "photo" }]], ["Hi", { signal: "now" }]];
  for (const attempt of attempts) {
    try {
      for await (const _ of talk.send(...(attempt as [Content, SendOptions?])));
    } catch (error) {
      words.push((error as Error).message);
    }
  }
  return [words, await talk.messages()];
}

/** Load, unload, and load again. Returns the first load's error, the second's result, and the state. */
export async function loadDisposeLoad(): Promise<unknown[]> {
  const chat = theElement();
  const first = chat.load().catch((error: Error) => error.name);
  await chat.dispose();
  const again = chat.load();
  return [await first, await again, chat.state];
}

/** Stop an answer before its model is loaded. Returns the state, and the number of messages. */
export async function stopBeforeLoad(): Promise<unknown[]> {
  const chat = theElement();
  await chat.dispose();
  const ended = chat.send("Hello!");
  chat.stop();
  await ended;
  return [chat.state, chat.messages.length];
}

/** Click the button that begins a load, and the button that cancels it. */
export function loadAndCancel(): void {
  for (const part of ["load", "cancel"]) (inside(`[part=${part}]`) as HTMLElement).click();
}

/** Set properties, then load the element's script. Returns the properties afterwards. */
export async function setEarly(): Promise<unknown[]> {
  const chat = theElement();
  Object.assign(chat, {
    src: "bundles/exact/",
    system: "Be brief.",
    thinking: true,
    reveal: "interaction",
    plan: "f32",
    options: { maxTokens: 4 },
    messages: [{ role: "user", content: "Hi" }],
    examples: [{ text: "Who are you?" }],
  });
  await importElement(document.baseURI.replace(/[^/]*$/, ""));
  chat.src = "bundles/tiny/";
  const { system, options, messages, examples, plan } = chat;
  const attributes = [chat.getAttribute("src"), system, chat.hasAttribute("thinking")];
  return [...attributes, options.maxTokens, messages.length, examples.length, plan];
}

/**
 * Return the element's background under each style of the page and without one, and whether the system prefers dark.
 */
export async function grounds(schemes: string[]): Promise<unknown[]> {
  await importElement(document.baseURI.replace(/[^/]*$/, ""));
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [sheet];
  const chat = theElement();
  const ground = (scheme: string) => {
    sheet.replaceSync(scheme);
    return getComputedStyle(chat).backgroundColor;
  };
  const found = [...schemes, ":root { color-scheme: light dark }"].map(ground);
  return [...found, matchMedia("(prefers-color-scheme: dark)").matches];
}

/** Load the element's bundle and ask about an image at an address. Returns the page's origin and the answer. */
export async function describe(image: string): Promise<[string, string]> {
  const chat = theElement();
  chat.options = { temperature: 0, maxTokens: 12 };
  const ended = new Promise<string>((resolve) => {
    chat.addEventListener("message", ({ detail }) => resolve(detail.text));
  });
  const blob = await (await fetch(image)).blob();
  await chat.send([
    { type: "image", image: blob },
    { type: "text", text: "What do you see?" },
  ]);
  return [origin, await ended];
}

/** Return the result of an action on the element, and its duration in milliseconds. */
export async function timed(action: (chat: GemtabChat) => Promise<unknown>): Promise<[unknown, number]> {
  const start = performance.now();
  const found = await action(theElement());
  return [found, performance.now() - start];
}
