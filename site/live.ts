/** The page's end of the development server's live channel. */

import { GemtabChat } from "./gemtab-chat.ts";

/** As the server sends them (gemtab/server/live.py). */
type LiveMessage = { type: "reload" } | { type: "shader"; bundle: string; file: string; text: string };

/** Milliseconds until a lost connection is tried again. */
const PATIENCE = 1000;

/** Does what the channel at `path` says; when the server has come back after it was gone, the page is loaded anew. */
export function follow(path: string, onOpen = () => {}): void {
  const channel = new WebSocket(new URL(path, location.href.replace(/^http/, "ws")));
  channel.addEventListener("open", onOpen);
  channel.addEventListener("message", ({ data }) => void act(JSON.parse(data)));
  channel.addEventListener("close", () => setTimeout(() => follow(path, () => location.reload()), PATIENCE));
}

async function act(message: LiveMessage): Promise<void> {
  if (message.type === "reload") {
    location.reload();
    return;
  }
  for (const chat of document.querySelectorAll("gemtab-chat")) {
    if (
      !(chat instanceof GemtabChat) ||
      !decodeURIComponent(new URL(chat.src, document.baseURI).pathname).endsWith(`bundles/${message.bundle}/`)
    )
      continue;
    // A shader that does not compile leaves the old one in place; the reason is for whoever edits it.
    await chat.gemma?.swapShader(message.file, message.text).catch((error: Error) => console.error(error.message));
    chat.dispatchEvent(new CustomEvent("shaderswap", { detail: { file: message.file }, bubbles: true }));
  }
}
