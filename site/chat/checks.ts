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

/** Check the attribute `reveal`. */
export const checkReveal = (found: unknown) => reveal(found, "reveal");
/** Check the property `examples`. */
export const checkExamples = (found: unknown) => examples(found, "examples");
/** Check the property `messages`. */
export const checkMessages = (found: unknown) => messagesRule(found, "messages");
/** Check the content of a message. */
export const checkContent = (found: unknown) => contentRule(found, "content");
/** Check a property that is true or false. */
export const checkFlag = (name: string, found: unknown) => flag(found, name);
/** Check a property that is text. */
export const checkText = (name: string, found: unknown) => text(found, name);
/** Check a property that is an address. */
export const checkAddress = (name: string, found: unknown) => addressRule(found, name);
