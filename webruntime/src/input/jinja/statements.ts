/** Compiles statements to functions that write into a list of texts. */

import { attribute, call } from "./access.ts";
import { fail } from "./errors.ts";
import { type Expression, ExpressionParser } from "./expressions.ts";
import { Output } from "./output.ts";
import { bind, type Signature } from "./parameters.ts";
import { str } from "./print.ts";
import { Scope } from "./scope.ts";
import { equal, Func, isTrue, iterate, Thing, tuple, Undefined, type Value } from "./values.ts";

/** The statement that ends an iteration early. */
type Leave = "break" | "continue" | undefined;
export type Statement = (scope: Scope, out: Output) => Leave;
type Assign = (scope: Scope, value: Value) => void;

export class StatementParser extends ExpressionParser {
  /** Parse the whole template. */
  template(): Statement {
    const body = this.#body([]);
    if (this.at < this.tokens.length) this.fail(`unexpected '${this.tokens[this.at + 1]?.text}'`);
    return body;
  }

  /** Parse statements up to one of the tags in `ends`. The tag's name is consumed, the end of the tag is not. */
  #body(ends: readonly string[]): Statement {
    const statements: Statement[] = [];
    for (let token = this.tokens[this.at]; token; token = this.tokens[this.at]) {
      if (token.type === "begin" && token.text === "{%" && ends.some((end) => this.isName(end, 1))) break;
      this.at++;
      if (token.type === "data") statements.push(data(token.text));
      else if (token.text === "{{") statements.push(this.#print());
      else statements.push(this.#statement());
    }
    if (ends.length > 0 && this.at >= this.tokens.length) this.fail(`expected ${ends.join(" or ")}`);
    return sequence(statements);
  }

  /** Return the tag that ended a body. */
  #tag(): string {
    this.at++;
    return this.name();
  }

  #end(): void {
    if (this.next().type !== "end") {
      this.at--;
      this.fail(`unexpected '${this.tokens[this.at]?.text}'`);
    }
  }

  #block(...ends: string[]): [Statement, string] {
    this.#end();
    const body = this.#body(ends);
    return [body, this.#tag()];
  }

  #print(): Statement {
    const value = this.tuple();
    this.#end();
    return (scope, out) => {
      out.write(str(value(scope)));
      return undefined;
    };
  }

  #statement(): Statement {
    const name = this.name();
    const known: Record<string, () => Statement> = {
      if: () => this.#if(),
      for: () => this.#for(),
      set: () => this.#set(),
      macro: () => this.#macro(),
      call: () => this.#callBlock(),
      filter: () => this.#filterBlock(),
      with: () => this.#with(),
      generation: () => this.#inner("endgeneration"),
      autoescape: () => this.#autoescape(),
      break: () => () => "break",
      continue: () => () => "continue",
    };
    const parse = Object.hasOwn(known, name) ? known[name] : undefined;
    if (!parse) return this.fail(`Encountered unknown tag '${name}'`);
    const statement = parse();
    this.#end();
    return statement;
  }

  #if(): Statement {
    const branches: [Expression, Statement][] = [];
    let otherwise: Statement | undefined;
    for (let tag = "elif"; tag !== "endif"; ) {
      if (tag === "else") [otherwise, tag] = this.#block("endif");
      else {
        const test = this.tuple([], false);
        const [body, next] = this.#block("elif", "else", "endif");
        branches.push([test, body]);
        tag = next;
      }
    }
    return (scope, out) => {
      const found = branches.find(([test]) => isTrue(test(scope)));
      return (found?.[1] ?? otherwise)?.(scope, out);
    };
  }

  #for(): Statement {
    const target = this.#target();
    if (!this.skipName("in")) this.fail("expected 'in'");
    const list = this.tuple(["recursive", "if"], false);
    const filter = this.skipName("if") ? this.expression() : undefined;
    const recursive = this.skipName("recursive");
    let [body, tag] = this.#block("else", "endfor");
    let otherwise: Statement | undefined;
    if (tag === "else") [otherwise, tag] = this.#block("endfor");
    const loop = new Loop(target, filter, body, otherwise, recursive);
    return (scope, out) => loop.run(scope, out, list(scope), 0);
  }

  /** Parse a target: a name, an attribute of a namespace, or several names. */
  #target(): Assign {
    const targets: Assign[] = [];
    let several = false;
    do {
      if (this.isName("in") || this.is("=") || this.is(")")) break;
      targets.push(this.#oneTarget());
      several ||= this.is(",");
    } while (this.skip(","));
    if (!several) return targets[0] ?? this.fail("expected a name");
    return (scope, value) => unpack(targets, scope, value);
  }

  #oneTarget(): Assign {
    if (this.skip("(")) {
      const inner = this.#target();
      this.expect(")");
      return inner;
    }
    const name = this.name();
    if (!this.skip(".")) return (scope, value) => scope.set(name, value);
    const member = this.name();
    return (scope, value) => {
      const space = scope.get(name);
      if (!(space instanceof Thing) || space.kind !== "Namespace") {
        fail("cannot assign attribute on non-namespace object", "TemplateRuntimeError");
      }
      checkMember(member);
      space.attributes.set(member, value);
    };
  }

  #set(): Statement {
    const target = this.#target();
    if (this.skip("=")) {
      const value = this.tuple();
      return (scope) => {
        target(scope, value(scope));
        return undefined;
      };
    }
    let captured: Value = "";
    const filtered = this.filters(() => captured);
    const [body] = this.#block("endset");
    return (scope) => {
      captured = written(body, new Scope(scope));
      target(scope, filtered(scope));
      return undefined;
    };
  }

  #signature(): Signature {
    const signature: Signature = { names: [], defaults: new Map() };
    this.expect("(");
    while (!this.skip(")")) {
      if (signature.names.length > 0) this.expect(",");
      const name = this.name();
      signature.names.push(name);
      if (this.skip("=")) signature.defaults.set(name, this.expression());
      else if (signature.defaults.size > 0) this.fail("non-default argument follows default argument");
    }
    return signature;
  }

  #macro(): Statement {
    const name = this.name();
    const make = this.#macroBody(name, () => this.#signature(), "endmacro");
    return (scope) => {
      scope.set(name, make(scope));
      return undefined;
    };
  }

  #macroBody(name: string, signature: () => Signature, end: string): (scope: Scope) => Thing {
    const used = new Set<string>();
    this.used.push(used);
    const parameters = signature();
    const [body] = this.#block(end);
    this.used.pop();
    for (const one of used) this.used.at(-1)?.add(one);
    return (scope) => {
      const func = new Func(`macro ${name}`, (args, named) => {
        const inner = new Scope(scope);
        bind(name, parameters, used, inner, args, named);
        return written(body, inner);
      });
      const attributes: [string, Value][] = [
        ["name", name],
        ["arguments", tuple(parameters.names)],
        ["caller", used.has("caller")],
      ];
      return new Thing("Macro", attributes, func);
    };
  }

  #callBlock(): Statement {
    let parameters: Signature = { names: [], defaults: new Map() };
    if (this.is("(")) parameters = this.#signature();
    const start = this.at;
    const callee = this.#callee();
    if (callee === undefined) {
      this.at = start;
      this.fail("expected call");
    }
    const make = this.#macroBody("caller", () => parameters, "endcall");
    return (scope, out) => {
      out.write(str(callee(scope, make(scope))));
      return undefined;
    };
  }

  /** Parse `name.member(arguments)`, which is called with one more named argument. */
  #callee(): ((scope: Scope, caller: Value) => Value) | undefined {
    let name = this.primary();
    while (this.skip(".")) {
      const owner = name;
      const member = this.name();
      name = (scope) => attribute(owner(scope), member);
    }
    if (!this.is("(")) return undefined;
    const [func, given] = [name, this.arguments()];
    return (scope, caller) =>
      call(func(scope), given.args(scope), new Map([...given.named(scope), ["caller", caller]]));
  }

  #filterBlock(): Statement {
    let captured: Value = "";
    let value: Expression = this.filter(() => captured);
    value = this.filters(value);
    const [body] = this.#block("endfilter");
    return (scope, out) => {
      captured = written(body, new Scope(scope));
      out.write(str(value(scope)));
      return undefined;
    };
  }

  #with(): Statement {
    const values: [Assign, Expression][] = [];
    while (this.tokens[this.at]?.type !== "end") {
      if (values.length > 0) this.expect(",");
      const target = this.#oneTarget();
      this.expect("=");
      values.push([target, this.expression()]);
    }
    const [body] = this.#block("endwith");
    return (scope, out) => {
      const inner = new Scope(scope);
      for (const [target, value] of values) target(inner, value(scope));
      return body(inner, out);
    };
  }

  #inner(end: string): Statement {
    const [body] = this.#block(end);
    return (scope, out) => {
      out.write(written(body, new Scope(scope)));
      return undefined;
    };
  }

  #autoescape(): Statement {
    const isWanted = this.expression();
    const inner = this.#inner("endautoescape");
    return (scope, out) => {
      if (isTrue(isWanted(scope))) fail("autoescape is not supported here. Use the filter escape.");
      return inner(scope, out);
    };
  }
}

class Loop {
  readonly #target: Assign;
  readonly #filter: Expression | undefined;
  readonly #body: Statement;
  readonly #otherwise: Statement | undefined;
  readonly #recursive: boolean;

  constructor(
    target: Assign,
    filter: Expression | undefined,
    body: Statement,
    otherwise: Statement | undefined,
    recursive: boolean,
  ) {
    this.#target = target;
    this.#filter = filter;
    this.#body = body;
    this.#otherwise = otherwise;
    this.#recursive = recursive;
  }

  run(scope: Scope, out: Output, list: Value, depth: number): Leave {
    const items = this.#chosen(scope, iterate(list));
    const loop = this.#loop(scope, items, depth);
    for (let i = 0; i < items.length; i++) {
      scope.budget.step();
      const inner = new Scope(scope);
      setLoop(loop, items, i);
      inner.set("loop", loop);
      this.#target(inner, items[i] as Value);
      if (this.#body(inner, out) === "break") break;
    }
    if (items.length > 0 || !this.#otherwise) return undefined;
    return this.#otherwise(new Scope(scope), out);
  }

  #chosen(scope: Scope, items: Value[]): Value[] {
    const filter = this.#filter;
    if (!filter) return items;
    return items.filter((one) => {
      const inner = new Scope(scope);
      this.#target(inner, one);
      return isTrue(filter(inner));
    });
  }

  #loop(scope: Scope, items: readonly Value[], depth: number): Thing {
    const again = new Func("loop", ([list = null]) => {
      const out = new Output();
      this.run(scope, out, list, depth + 1);
      return out.toString();
    });
    const loop: Thing = new Thing("LoopContext", [], this.#recursive ? again : undefined);
    let last: Value[] | undefined;
    const { attributes } = loop;
    attributes.set("length", BigInt(items.length));
    attributes.set("depth", BigInt(depth + 1));
    attributes.set("depth0", BigInt(depth));
    attributes.set(
      "cycle",
      new Func(
        "cycle",
        (args) =>
          args[Number(attributes.get("index0")) % args.length] ?? fail("no items for cycling given", "TypeError"),
      ),
    );
    attributes.set(
      "changed",
      new Func("changed", (args) => {
        const same = last !== undefined && equal(last, args);
        last = args;
        return !same;
      }),
    );
    return loop;
  }
}

/** Set the loop's variables for iteration `i`. */
function setLoop({ attributes }: Thing, items: readonly Value[], i: number): void {
  const left = items.length - i;
  attributes.set("index", BigInt(i + 1));
  attributes.set("index0", BigInt(i));
  attributes.set("revindex", BigInt(left));
  attributes.set("revindex0", BigInt(left - 1));
  attributes.set("first", i === 0);
  attributes.set("last", left === 1);
  attributes.set(
    "previtem",
    items[i - 1] === undefined ? new Undefined("there is no previous item") : (items[i - 1] as Value),
  );
  attributes.set(
    "nextitem",
    items[i + 1] === undefined ? new Undefined("there is no next item") : (items[i + 1] as Value),
  );
}

/** Check a member's name. Names that begin with an underscore are Python's own. */
export function checkMember(name: string): void {
  if (name.startsWith("_"))
    fail(
      `Chat templates cannot store underscore-prefixed attributes on a namespace, but got '${name}'`,
      "SecurityError",
    );
}

function data(text: string): Statement {
  return (_, out) => {
    out.write(text);
    return undefined;
  };
}

function sequence(statements: readonly Statement[]): Statement {
  return (scope, out) => {
    for (const statement of statements) {
      scope.budget.step();
      const leave = statement(scope, out);
      if (leave) return leave;
    }
    return undefined;
  };
}

function written(body: Statement, scope: Scope): string {
  const out = new Output();
  body(scope, out);
  return out.toString();
}

function unpack(targets: readonly Assign[], scope: Scope, value: Value): void {
  if (value instanceof Undefined) value.fail();
  const items = iterate(value);
  if (items.length !== targets.length) {
    const found = items.length < targets.length ? "not enough values" : "too many values";
    fail(`${found} to unpack (expected ${targets.length})`, "ValueError");
  }
  for (const [i, target] of targets.entries()) target(scope, items[i] as Value);
}
