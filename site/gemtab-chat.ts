/** The module that a page includes: it defines `<gemtab-chat>`. */

import { GemtabChat } from "./chat/element.ts";

export type { ChatState, GemtabChatDetails, GemtabChatEventMap } from "./chat/events.ts";
export type { Example } from "./chat/examples.ts";
export { GemtabChat };

declare global {
  interface HTMLElementTagNameMap {
    "gemtab-chat": GemtabChat;
  }
}

const elements = globalThis.customElements;
if (elements && !elements.get("gemtab-chat")) elements.define("gemtab-chat", GemtabChat);
