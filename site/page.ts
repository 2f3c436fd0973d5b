/** The demo page: the choice of a bundle, its accuracy, and the development server's live channel. */

import { GemtabChat } from "./gemtab-chat.ts";
import { liveServer } from "./live-server.ts";
import { paritySentence } from "./parity.ts";

function find<Kind extends Element>(selector: string, kind: new () => Kind): Kind {
  const element = document.querySelector(selector);
  if (element instanceof kind) return element;
  throw new Error(`The page has no ${selector}.`);
}

const chat = find("gemtab-chat", GemtabChat);
const choice = find("#choice", HTMLElement);
const bundles = find("#bundle", HTMLSelectElement);
const parity = find("#parity", HTMLElement);
const trouble = find("#trouble", HTMLElement);

const LIST = "bundles/index.json";

/** Show the accuracy of the loaded bundle, or nothing without a bundle. */
function showParity(): void {
  const sentence = chat.gemma ? paritySentence(chat.gemma.info) : "";
  parity.textContent = sentence;
  parity.hidden = sentence === "";
}

/** Return the bundles that the page's address names, or that the host lists: its own list, or a server's. */
async function offered(): Promise<string[]> {
  const asked = new URLSearchParams(location.search).getAll("bundle");
  if (asked.length > 0) return asked;
  const response = await fetch(LIST);
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  const names: unknown = await response.json();
  if (Array.isArray(names) && names.length > 0 && names.every((name) => typeof name === "string")) return names;
  throw new Error("it is not a list of names");
}

/** Offer the listed bundles. Without a list, the page's own choice stays, and an error says why. */
async function listOffered(): Promise<void> {
  try {
    const names = await offered();
    bundles.replaceChildren(...names.map((name) => new Option(name, `bundles/${encodeURIComponent(name)}/`)));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    trouble.textContent =
      `The list of models, ${LIST}, could not be read (${reason}). It holds the names of the folders beside it, such as ` +
      '["my-model"]. A model can also be named in the address of this page: ?bundle=my-model.';
    trouble.hidden = false;
  }
}

async function start(): Promise<void> {
  await listOffered();
  const live = liveServer();
  if (live) {
    const { follow } = await import("./live.ts");
    follow(live);
  }
  choice.hidden = bundles.options.length < 2;
  chat.src = bundles.value;
}

const shapes = new URL("./examples/shapes.webp", import.meta.url).href;
const words = new URL("./examples/words.mp3", import.meta.url).href;
chat.examples = [
  { text: "Who are you?" },
  { text: "What is gemtab?" },
  { text: "What do you see?", media: { kind: "image", url: shapes, name: "shapes.webp" } },
  { text: "What do I say?", media: { kind: "audio", url: words, name: "words.mp3" } },
];
bundles.addEventListener("change", () => {
  chat.src = bundles.value;
});
chat.addEventListener("statechange", showParity);
await start();
