/**
 * Runs the steps of tokenizer.json on a text between added tokens: normalizers, pre-tokenizers, the model, and
 * decoders.
 */

import { BPE } from "@huggingface/tokenizers";
import { shown } from "../brief.ts";

interface Step {
  type?: string;
  [key: string]: unknown;
}

type Normalize = (text: string) => string;
/** Splits a text. first: whether the text begins the prompt. */
type Split = (text: string, first: boolean) => string[];

/** The steps of one tokenizer.json. Supports the types that tokenizers of Gemma and related models use. */
export class Pipeline {
  readonly normal: Normalize;
  readonly model: BPE;
  /** Decode one token. */
  readonly decode: Normalize;
  readonly #split: Split;
  readonly #bound = new Bound(Number.POSITIVE_INFINITY);

  /** @throws Error for unknown types */
  constructor(json: Record<string, unknown>) {
    const model = json.model as Step;
    if (model?.type !== undefined && model.type !== "BPE") unknown("model", model.type);
    this.normal = normalizer(json.normalizer as Step | null, this.#bound);
    this.#split = preTokenizer(json.pre_tokenizer as Step | null, this.#bound);
    this.model = new BPE(model as never);
    this.decode = decoder(json.decoder as Step | null);
  }

  /** The maximum UTF-16 units of a text after normalization. */
  set most(units: number) {
    this.#bound.most = units;
  }

  /** Return the ids of normalized text. */
  encode(text: string, first: boolean): number[] {
    if (text === "") return [];
    const { model } = this;
    const words = this.#split(text, first).filter((word) => word !== "");
    const ids = model(words).map((token) => model.tokens_to_ids.get(token) ?? model.unk_token_id);
    return ids.filter((id) => id !== undefined);
  }
}

function unknown(what: string, type: unknown): never {
  throw new Error(`its ${what} is of type ${shown(type)}, which the tab does not support`);
}

function pattern({ pattern }: Step): RegExp {
  const { String: text, Regex: regex } = pattern as { String?: string; Regex?: string };
  return new RegExp(regex ?? literally(text ?? ""), "gu");
}

function literally(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

function chain(steps: readonly Normalize[]): Normalize {
  return (text) => steps.reduce((made, step) => step(made), text);
}

/** The maximum UTF-16 units of a decoded token. */
const MAX_TOKEN = 4096;

/** Limits the UTF-16 units of a text. Throws Error for a longer one. */
class Bound {
  constructor(public most: number) {}

  check(length: number): true {
    if (length > this.most) throw new Error(`it makes a text of more than ${this.most} characters`);
    return true;
  }
}

/** Return a function that replaces matches. A text that grows beyond the bound is stopped. */
function replacing(step: Step, bound: Bound): Normalize {
  const from = pattern(step);
  const to = String(step.content);
  return (text) => {
    let { length } = text;
    return text.replace(from, (match) => {
      length += to.length - match.length;
      bound.check(length);
      return to;
    });
  };
}

const FORMS = ["NFC", "NFD", "NFKC", "NFKD"];

function normalizer(step: Step | null | undefined, bound: Bound): Normalize {
  if (!step) return (text) => text;
  const { type = "" } = step;
  if (FORMS.includes(type)) return (text) => text.normalize(type);
  switch (type) {
    case "Replace":
      return replacing(step, bound);
    case "Prepend": {
      const start = String(step.prepend);
      return (text) => (text === "" ? text : bound.check(start.length + text.length) && start + text);
    }
    case "Lowercase":
      return (text) => text.toLowerCase();
    case "Sequence":
      return chain((step.normalizers as Step[]).map((one) => normalizer(one, bound)));
  }
  return unknown("normalizer", type);
}

function preTokenizer(step: Step | null | undefined, bound: Bound): Split {
  if (!step) return (text) => [text];
  switch (step.type) {
    case "Split": {
      const at = pattern(step);
      return (text) => pieces(text, at, step);
    }
    case "Metaspace":
      return metaspace(step, bound);
    case "Sequence": {
      const steps = (step.pretokenizers as Step[]).map((one) => preTokenizer(one, bound));
      return (text, first) =>
        steps.reduce((words, split) => words.flatMap((word, i) => split(word, first && i === 0)), [text]);
    }
  }
  return unknown("pre-tokenizer", step.type);
}

/** Split at matches. `behavior` states which piece a match belongs to. */
function pieces(text: string, at: RegExp, { behavior, invert }: Step): string[] {
  const cut: { text: string; matched: boolean }[] = [];
  let end = 0;
  for (const match of text.matchAll(at)) {
    if (match.index > end) cut.push({ text: text.slice(end, match.index), matched: invert === true });
    if (match[0] !== "") cut.push({ text: match[0], matched: invert !== true });
    end = match.index + match[0].length;
  }
  if (end < text.length) cut.push({ text: text.slice(end), matched: invert === true });
  if (behavior === "Removed") return cut.filter(({ matched }) => !matched).map((one) => one.text);
  const joins = cut.map(({ matched }, i) => {
    const before = cut[i - 1];
    if (!before) return false;
    if (behavior === "MergedWithPrevious") return matched && !before.matched;
    if (behavior === "MergedWithNext") return before.matched && !matched;
    return behavior === "Contiguous" && matched === before.matched;
  });
  return joined(cut, joins);
}

function joined(cut: readonly { text: string }[], joins: readonly boolean[]): string[] {
  const words: string[] = [];
  for (const [i, { text }] of cut.entries()) {
    const last = words.at(-1);
    if (joins[i] && last !== undefined) words[words.length - 1] = last + text;
    else words.push(text);
  }
  return words;
}

function metaspace(step: Step, bound: Bound): Split {
  const mark = String(step.replacement ?? "▁");
  const scheme = step.prepend_scheme ?? "always";
  const before = new RegExp(`(?=${literally(mark)})`, "u");
  return (text, first) => {
    bound.check(text.length + text.split(" ").length * mark.length);
    const marked = text.replaceAll(" ", mark);
    const prepended = !marked.startsWith(mark) && (scheme === "always" || (scheme === "first" && first));
    const whole = prepended ? mark + marked : marked;
    return step.split === false ? [whole] : whole.split(before);
  };
}

function decoder(step: Step | null | undefined): Normalize {
  if (!step) return (token) => token;
  switch (step.type) {
    case "Replace":
      return replacing(step, new Bound(MAX_TOKEN));
    case "ByteFallback":
    case "Fuse":
      return (token) => token;
    case "Strip":
      return (token) => stripped(token, String(step.content), Number(step.start), Number(step.stop));
    case "Metaspace": {
      const mark = String(step.replacement ?? "▁");
      return (token) => (mark === "" ? token : token.replaceAll(mark, " "));
    }
    case "Sequence":
      return chain((step.decoders as Step[]).map(decoder));
  }
  return unknown("decoder", step.type);
}

/** Return `token` with at most `start` and `stop` copies of `content` removed from its ends. */
function stripped(token: string, content: string, start: number, stop: number): string {
  if (content === "") return token;
  let text = token;
  for (let i = 0; i < start && text.startsWith(content); i++) text = text.slice(content.length);
  for (let i = 0; i < stop && text.endsWith(content); i++) text = text.slice(0, -content.length);
  return text;
}
