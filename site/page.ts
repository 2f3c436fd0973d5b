/** The demo page: which bundle, how exact it is, and the live channel of the development server. */

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

/** How exact the loaded bundle is; nothing while none is loaded. */
function showParity(): void {
  const sentence = chat.gemma ? paritySentence(chat.gemma.info) : "";
  parity.textContent = sentence;
  parity.hidden = sentence === "";
}

/** A development server offers the bundles it was started with; elsewhere they are those that the page lists. */
async function listOffered(): Promise<void> {
  const response = await fetch("bundles/index.json");
  const names: string[] = await response.json();
  bundles.replaceChildren(...names.map((name) => new Option(name, `bundles/${name}/`)));
}

async function start(): Promise<void> {
  const live = liveServer();
  if (live) {
    await listOffered();
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
