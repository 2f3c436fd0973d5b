/** The module that a page includes: it defines `<gemtab-chat>`. */

import { GemtabChat } from "./chat/element.ts";

export { GemtabChat };

const elements = globalThis.customElements;
if (elements && !elements.get("gemtab-chat")) elements.define("gemtab-chat", GemtabChat);
