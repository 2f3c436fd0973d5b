/** Handles the development server's live channel in the page. */

import { GemtabChat } from "./gemtab-chat.ts";

/** The server's messages (gemtab/server/live.py). */
type LiveMessage = { type: "reload" } | { type: "shader"; bundle: string; file: string; text: string };

/** The milliseconds before a lost connection is tried again. */
const PATIENCE = 1000;

/** Follow the channel at `path`. When the server is back after an interruption, the page is loaded again. */
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
    // A shader that does not compile changes nothing; the console shows the reason to its author.
    await chat.gemma?.swapShader(message.file, message.text).catch((error: Error) => console.error(error.message));
    chat.dispatchEvent(new CustomEvent("shaderswap", { detail: { file: message.file }, bubbles: true }));
  }
}
