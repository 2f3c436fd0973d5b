/**
 * Renders jinja2 templates with transformers' settings for chat templates: sandboxed, with trim_blocks, lstrip_blocks,
 * loop controls, transformers' tojson, raise_exception, strftime_now, and the tag `generation`. No part of a template
 * is evaluated as JavaScript.
 */

import { makeRange } from "./access.ts";
import { fail } from "./errors.ts";
import { tokenize } from "./lexer.ts";
import { Output } from "./output.ts";
import { str } from "./print.ts";
import { Scope } from "./scope.ts";
import { startCounting } from "./size.ts";
import { checkMember, type Statement, StatementParser } from "./statements.ts";
import { strftime } from "./time.ts";
import { Dict, Func, iterate, type Named, Thing, toValue, type Value } from "./values.ts";

export class Template {
  readonly #body: Statement;
  /** The template's text and strings, which name its control tokens. */
  readonly literals: readonly string[];

  /** @throws TemplateError */
  constructor(source: string) {
    const tokens = tokenize(source);
    this.literals = tokens.filter(({ type }) => type === "data" || type === "string").map(({ text }) => text);
    this.#body = new StatementParser(tokens).template();
  }

  /**
   * @param most the maximum UTF-16 units of the output; an error named OVERFLOW stops a longer one
   * @throws TemplateError where the template rejects its input or cannot be executed
   */
  render(variables: Record<string, unknown>, most?: number): string {
    startCounting();
    const globals = new Scope(undefined);
    for (const [name, func] of Object.entries(GLOBALS)) globals.set(name, new Func(name, func));
    for (const [name, value] of Object.entries(variables)) globals.set(name, toValue(value));
    const out = new Output(most);
    this.#body(new Scope(globals), out);
    return out.toString();
  }
}

const GLOBALS: Record<string, (args: Value[], named: Named) => Value> = {
  range: makeRange,
  dict: (args, named) => new Dict([...pairs(args), ...named]),
  namespace(args, named) {
    const members = [...pairs(args), ...named].map(([name, value]) => [str(name), value] as const);
    for (const [name] of members) checkMember(name);
    return new Thing("Namespace", members);
  },
  raise_exception: ([message = null]) => fail(str(message)),
  strftime_now: ([format = null]) => strftime(str(format), new Date()),
  cycler: (items) => cycler(items),
  joiner: ([separator = ", "]) => {
    let used = false;
    return new Func("joiner", () => {
      const given = used ? separator : "";
      used = true;
      return given;
    });
  },
};

/** Return the entries of dict(mapping) or dict(pairs). */
function pairs([source]: readonly Value[]): [Value, Value][] {
  if (source === undefined) return [];
  if (source instanceof Dict) return source.entries();
  return iterate(source).map((pair) => {
    const [key = null, value = null] = iterate(pair);
    return [key, value];
  });
}

function cycler(items: Value[]): Thing {
  let at = 0;
  const thing = new Thing("Cycler", []);
  const move = (to: number) => {
    at = to % items.length;
    thing.attributes.set("current", items[at] as Value);
  };
  thing.attributes.set(
    "next",
    new Func("next", () => {
      const current = items[at] as Value;
      move(at + 1);
      return current;
    }),
  );
  thing.attributes.set(
    "reset",
    new Func("reset", () => {
      move(0);
      return null;
    }),
  );
  if (items.length === 0) fail("at least one item has to be provided", "RuntimeError");
  move(0);
  return thing;
}
