/** The module that a page embeds: it defines `<gemtab-chat>`. */

import { GemtabChat } from "./chat/element.ts";

export { GemtabChat };

if (!customElements.get("gemtab-chat")) customElements.define("gemtab-chat", GemtabChat);
