/** Files of a bundle with content that no export writes. */

import { expect, test } from "vitest";
import { openChat } from "../../src/chat/model.ts";
import { BundleError } from "../../src/errors.ts";
import { NotingEngine } from "./tiny.ts";

const FILES = ["tokenizer.json", "tokenizer_config.json", "generation_config.json"];
const VALUES = [null, [], 7, "x".repeat(10_000)];

test.each(FILES.flatMap((file) => VALUES.map((value, index) => [file, index, value] as const)))(
  "%s without an object is named: case %i",
  async (file, _, value) => {
    const engine = new NotingEngine();
    const { files } = engine;
    const json = async (name: string) => (name === file ? value : files.json(name));
    Object.defineProperty(engine, "files", { value: { ...files, json } });
    const opening = openChat(engine, () => Promise.reject(new Error("no media")));
    await expect(opening).rejects.toBeInstanceOf(BundleError);
    await expect(opening).rejects.toThrow(new RegExp(`^${file} holds .{1,100}, not an object`));
  },
);
