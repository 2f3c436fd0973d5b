/** A page's own script, before a bundler. */

import "gemtab/chat";
import { type Content, Gemma, type LoadOptions } from "gemtab";

/** Return the model's answer about an image; bundle and image are given by their addresses. */
async function describe(bundle: string, image: string, options: LoadOptions = {}): Promise<string> {
  const gemma = await Gemma.load(bundle, { context: 512, ...options });
  try {
    const chat = gemma.chat();
    const content: Content = [
      { type: "image", image: await (await fetch(image)).blob() },
      { type: "text", text: "What do you see?" },
    ];
    let text = "";
    for await (const part of chat.send(content, { temperature: 0, maxTokens: 12 })) {
      if (part.type === "text") text += part.text;
    }
    return text;
  } finally {
    await gemma.dispose();
  }
}

Object.assign(globalThis, { describe });
