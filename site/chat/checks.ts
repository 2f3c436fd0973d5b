/**
 * Checks the values that pages set on the element. Each function throws UsageError with the found value and the
 * expected values.
 */

import { flag, listOf, oneOf, type Rule, shape, text } from "../../webruntime/src/api/check.ts";
import { addressRule, contentRule, messagesRule } from "../../webruntime/src/api/options.ts";
import type { Example } from "./examples.ts";

export { checkAnswerOptions } from "../../webruntime/src/api/options.ts";

/** When the model is loaded. */
export type Reveal = "auto" | "interaction";

const REVEALS: Reveal[] = ["auto", "interaction"];
const reveal = oneOf(REVEALS);

const MEDIUM: Record<keyof NonNullable<Example["media"]>, Rule> = {
  kind: oneOf(["image", "audio", "video"]),
  url: text,
  name: text,
};
const EXAMPLE: Record<keyof Example, Rule> = { text, media: shape(MEDIUM, ["kind", "url", "name"]) };
const examples = listOf(shape(EXAMPLE, ["text"]));

export const checkReveal = (found: unknown) => reveal(found, "reveal");
export const checkExamples = (found: unknown) => examples(found, "examples");
export const checkMessages = (found: unknown) => messagesRule(found, "messages");
export const checkContent = (found: unknown) => contentRule(found, "content");
export const checkFlag = (name: string, found: unknown) => flag(found, name);
export const checkText = (name: string, found: unknown) => text(found, name);
export const checkAddress = (name: string, found: unknown) => addressRule(found, name);
