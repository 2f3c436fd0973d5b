/** Compiles expressions to functions of the names in scope, with jinja's precedence. */

import { attribute, call, item, slice } from "./access.ts";
import { fail } from "./errors.ts";
import { findFilter } from "./filters.ts";
import type { Token } from "./lexer.ts";
import { arithmetic, negative } from "./operators.ts";
import { str } from "./print.ts";
import type { Scope } from "./scope.ts";
import { checkLength } from "./size.ts";
import { findTest } from "./tests.ts";
import {
  compare,
  contains,
  Dict,
  equal,
  isNumeric,
  isTrue,
  iterate,
  type Named,
  numeric,
  tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

export type Expression = (scope: Scope) => Value;

interface Arguments {
  args(scope: Scope): Value[];
  named(scope: Scope): Named;
}

const CONSTANTS: Record<string, Value> = { true: true, True: true, false: false, False: false, none: null, None: null };

const COMPARISONS: Record<string, (left: Value, right: Value) => boolean> = {
  "==": equal,
  "!=": (left, right) => !equal(left, right),
  "<": (left, right) => compare(left, right, "<") < 0,
  ">": (left, right) => compare(left, right, ">") > 0,
  "<=": (left, right) => compare(left, right, "<=") <= 0,
  ">=": (left, right) => compare(left, right, ">=") >= 0,
};

/** Parses the expressions among a template's tokens. */
export class ExpressionParser {
  protected readonly tokens: readonly Token[];
  protected at = 0;
  /** The names that each macro reads, the innermost macro last. */
  protected readonly used: Set<string>[] = [new Set()];

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens;
  }

  /** Parse a value, or several separated by commas. */
  protected tuple(end: string[] = [], conditional = true): Expression {
    const one = () => (conditional ? this.expression() : this.or());
    const items: Expression[] = [];
    let isTuple = false;
    while (!this.isTupleEnd(end)) {
      items.push(one());
      if (!this.skip(",")) break;
      isTuple = true;
    }
    if (!isTuple && items[0]) return items[0];
    if (items.length === 0 && !end.includes(")")) this.fail("Expected an expression");
    return (scope) => tuple(items.map((each) => each(scope)));
  }

  protected isTupleEnd(end: readonly string[]): boolean {
    const token = this.tokens[this.at];
    return (
      token === undefined || token.type === "end" || (token.type !== "string" && [")", ...end].includes(token.text))
    );
  }

  protected expression(): Expression {
    let value = this.or();
    while (this.skipName("if")) {
      const [then, test] = [value, this.or()];
      const otherwise = this.skipName("else") ? this.expression() : undefined;
      value = (scope) => {
        if (isTrue(test(scope))) return then(scope);
        return otherwise ? otherwise(scope) : new Undefined("the inline if-expression has no else");
      };
    }
    return value;
  }

  protected or(): Expression {
    let left = this.#and();
    while (this.skipName("or")) {
      const [first, second] = [left, this.#and()];
      left = (scope) => {
        const value = first(scope);
        return isTrue(value) ? value : second(scope);
      };
    }
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.skipName("and")) {
      const [first, second] = [left, this.#not()];
      left = (scope) => {
        const value = first(scope);
        return isTrue(value) ? second(scope) : value;
      };
    }
    return left;
  }

  #not(): Expression {
    if (!this.skipName("not")) return this.#comparison();
    const value = this.#not();
    return (scope) => !isTrue(value(scope));
  }

  #comparison(): Expression {
    const first = this.#sum();
    const rest: [(left: Value, right: Value) => boolean, Expression][] = [];
    for (;;) {
      const test = this.#comparator();
      if (test === undefined) break;
      rest.push([test, this.#sum()]);
    }
    if (rest.length === 0) return first;
    return (scope) => {
      let left = first(scope);
      return rest.every(([test, right]) => {
        const value = right(scope);
        const holds = test(left, value);
        left = value;
        return holds;
      });
    };
  }

  #comparator(): ((left: Value, right: Value) => boolean) | undefined {
    const token = this.tokens[this.at];
    if (token?.type === "operator" && Object.hasOwn(COMPARISONS, token.text)) {
      this.at++;
      return COMPARISONS[token.text];
    }
    if (this.skipName("in")) return (left, right) => contains(right, left);
    if (!this.isName("not") || !this.isName("in", 1)) return undefined;
    this.at += 2;
    return (left, right) => !contains(right, left);
  }

  #sum(): Expression {
    return this.#binary(["+", "-"], () => this.#concatenation());
  }

  #concatenation(): Expression {
    const parts = [this.#product()];
    while (this.skip("~")) parts.push(this.#product());
    if (parts.length === 1) return parts[0] as Expression;
    return (scope) => {
      const texts = parts.map((part) => str(part(scope)));
      checkLength(texts.reduce((length, text) => length + text.length, 0));
      return texts.join("");
    };
  }

  #product(): Expression {
    return this.#binary(["*", "/", "//", "%"], () => this.#binary(["**"], () => this.#unary()));
  }

  #binary(operators: string[], operand: () => Expression): Expression {
    let left = operand();
    for (;;) {
      const operator = operators.find((each) => this.skip(each));
      if (operator === undefined) return left;
      const [first, second] = [left, operand()];
      left = (scope) => arithmetic(operator, first(scope), second(scope));
    }
  }

  #unary(filtered = true): Expression {
    let value: Expression;
    if (this.skip("-")) {
      const operand = this.#unary(false);
      value = (scope) => negative(operand(scope));
    } else if (this.skip("+")) {
      const operand = this.#unary(false);
      value = (scope) => positive(operand(scope));
    } else value = this.primary();
    value = this.#postfix(value);
    return filtered ? this.filters(value) : value;
  }

  protected primary(): Expression {
    const token = this.next();
    switch (token.type) {
      case "name":
        return this.#name(token.text);
      case "string":
        return this.#string(token.text);
      case "integer": {
        const value = BigInt(token.text.toLowerCase());
        return () => value;
      }
      case "float": {
        const value = Number(token.text);
        return () => value;
      }
    }
    if (token.text === "(") return this.#parenthesized();
    if (token.text === "[") return this.#list();
    if (token.text === "{") return this.#dictionary();
    return this.fail(`unexpected '${token.text}'`);
  }

  #name(name: string): Expression {
    if (Object.hasOwn(CONSTANTS, name)) {
      const value = CONSTANTS[name] as Value;
      return () => value;
    }
    this.used.at(-1)?.add(name);
    return (scope) => scope.get(name);
  }

  #string(text: string): Expression {
    let value = text;
    while (this.tokens[this.at]?.type === "string") value += this.next().text;
    return () => value;
  }

  #parenthesized(): Expression {
    const value = this.tuple([")"]);
    this.expect(")");
    return value;
  }

  #list(): Expression {
    const items = this.#separated("]", () => this.expression());
    return (scope) => items.map((each) => each(scope));
  }

  #dictionary(): Expression {
    const entries = this.#separated("}", () => {
      const key = this.expression();
      this.expect(":");
      return [key, this.expression()] as const;
    });
    return (scope) => new Dict(entries.map(([key, value]) => [key(scope), value(scope)]));
  }

  #separated<Item>(end: string, one: () => Item): Item[] {
    const items: Item[] = [];
    while (!this.skip(end)) {
      if (items.length > 0) this.expect(",");
      if (this.skip(end)) break;
      items.push(one());
    }
    return items;
  }

  #postfix(value: Expression): Expression {
    let made = value;
    for (;;) {
      if (this.skip(".")) made = this.#attribute(made);
      else if (this.skip("[")) made = this.#subscript(made);
      else if (this.is("(")) made = this.#call(made);
      else return made;
    }
  }

  #attribute(owner: Expression): Expression {
    const token = this.next();
    const name = token.text;
    if (token.type === "integer") return (scope) => item(owner(scope), BigInt(name));
    if (token.type !== "name") this.fail("expected name or number");
    return (scope) => attribute(owner(scope), name);
  }

  #subscript(owner: Expression): Expression {
    const keys: Expression[] = [];
    const slices = new Set<Expression>();
    do {
      const [key, isSlice] = this.#key();
      keys.push(key);
      if (isSlice) slices.add(key);
    } while (this.skip(","));
    this.expect("]");
    const [only] = keys as [Expression];
    if (keys.length > 1) return (scope) => item(owner(scope), tuple(keys.map((key) => key(scope))));
    if (!slices.has(only)) return (scope) => item(owner(scope), only(scope));
    return (scope) => slice(owner(scope), only(scope) as unknown as [Value, Value, Value]);
  }

  /** Parse a key, or the bounds of a slice. */
  #key(): [Expression, boolean] {
    const none: Expression = () => null;
    const bound = () => (this.is(":") || this.is("]") || this.is(",") ? none : this.expression());
    const first = bound();
    if (!this.skip(":")) return [first, false];
    const stop = bound();
    const step = this.skip(":") ? bound() : none;
    return [(scope) => [first(scope), stop(scope), step(scope)], true];
  }

  #call(callee: Expression): Expression {
    const given = this.arguments();
    return (scope) => {
      scope.budget.step();
      return call(callee(scope), given.args(scope), given.named(scope));
    };
  }

  /** Parse arguments in parentheses. */
  protected arguments(): Arguments {
    this.expect("(");
    const args: { spread: boolean; value: Expression }[] = [];
    const named: { name: string | undefined; value: Expression }[] = [];
    for (let first = true; !this.skip(")"); first = false) {
      if (!first) this.expect(",");
      if (!first && this.skip(")")) break;
      if (this.skip("*")) args.push({ spread: true, value: this.expression() });
      else if (this.skip("**")) named.push({ name: undefined, value: this.expression() });
      else if (this.tokens[this.at]?.type === "name" && this.is("=", 1)) {
        const name = this.next().text;
        this.at++;
        named.push({ name, value: this.expression() });
      } else args.push({ spread: false, value: this.expression() });
    }
    return {
      args: (scope) => args.flatMap(({ spread, value }) => (spread ? iterate(value(scope)) : [value(scope)])),
      named: (scope) =>
        new Map(
          named.flatMap(({ name, value }) =>
            name === undefined ? entries(value(scope)) : [[name, value(scope)] as const],
          ),
        ),
    };
  }

  /** Parse the filters, tests and calls after a value. */
  protected filters(value: Expression): Expression {
    let made = value;
    for (;;) {
      if (this.skip("|")) made = this.filter(made);
      else if (this.skipName("is")) made = this.#test(made);
      else if (this.is("(")) made = this.#call(made);
      else return made;
    }
  }

  protected filter(value: Expression): Expression {
    const name = this.#dotted();
    const given = this.is("(") ? this.arguments() : undefined;
    const filter = findFilter(name);
    return (scope) => {
      scope.budget.step();
      return filter(value(scope), given?.args(scope) ?? [], given?.named(scope) ?? new Map());
    };
  }

  #test(value: Expression): Expression {
    const negated = this.skipName("not");
    const name = this.#dotted();
    const args = this.#testArguments();
    const test = findTest(name);
    return (scope) => test(value(scope), args(scope)) !== negated;
  }

  #testArguments(): (scope: Scope) => Value[] {
    if (this.is("(")) return this.arguments().args;
    const token = this.tokens[this.at];
    const starts =
      token !== undefined &&
      (["name", "string", "integer", "float"].includes(token.type) || this.is("[") || this.is("{"));
    if (!starts || ["else", "or", "and", "if", "is", "in", "not", "recursive"].some((word) => this.isName(word)))
      return () => [];
    const value = this.#postfix(this.primary());
    return (scope) => [value(scope)];
  }

  #dotted(): string {
    let name = this.name();
    while (this.skip(".")) name += `.${this.name()}`;
    return name;
  }

  protected name(): string {
    const token = this.next();
    return token.type === "name" ? token.text : this.fail(`expected a name, got '${token.text}'`);
  }

  protected next(): Token {
    return this.tokens[this.at++] ?? this.fail("unexpected end of template");
  }

  protected is(text: string, ahead = 0): boolean {
    const token = this.tokens[this.at + ahead];
    return token?.type === "operator" && token.text === text;
  }

  protected isName(text: string, ahead = 0): boolean {
    const token = this.tokens[this.at + ahead];
    return token?.type === "name" && token.text === text;
  }

  protected skip(text: string): boolean {
    return this.is(text) && ++this.at > 0;
  }

  protected skipName(text: string): boolean {
    return this.isName(text) && ++this.at > 0;
  }

  protected expect(text: string): void {
    if (!this.skip(text)) this.fail(`expected '${text}', got '${this.tokens[this.at]?.text ?? "the end"}'`);
  }

  protected fail(message: string): never {
    const { line } = this.tokens[Math.min(this.at, this.tokens.length) - 1] ?? { line: 1 };
    return fail(`${message} (line ${line})`, "TemplateSyntaxError");
  }
}

function positive(value: Value): Value {
  if (value instanceof Undefined) value.fail();
  return isNumeric(value) ? numeric(value) : fail(`bad operand type for unary +: '${typeName(value)}'`, "TypeError");
}

function entries(value: Value): (readonly [string, Value])[] {
  if (!(value instanceof Dict)) return fail("argument after ** must be a mapping", "TypeError");
  return value.entries().map(([key, one]) => [str(key), one] as const);
}
