/** Splits a template's source into tokens, with trim_blocks and lstrip_blocks. */

import { fail } from "./errors.ts";
import { isSpace, rstrip, SPACE_CLASS } from "./text.ts";

/** begin and end: the marks of a print ("{{") or a statement ("{%"); data: the text between them. */
export interface Token {
  type: "data" | "begin" | "end" | "name" | "integer" | "float" | "string" | "operator";
  text: string;
  line: number;
}

const MARK = /\{\{|\{%|\{#/g;
const RAW = new RegExp(`^${SPACE_CLASS}*raw${SPACE_CLASS}*(-?)%\\}`);
const ENDRAW = new RegExp(`\\{%([-+]?)${SPACE_CLASS}*endraw${SPACE_CLASS}*([-+]?)%\\}`, "g");
const OPERATOR = /^(?:\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}<>=.:|,;])/;
const NUMBER =
  /^(?:((?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+))|(0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*))/i;
const MEMBER = /^()(\d+)/;
const NAME = /^[\p{L}\p{Nl}\p{M}\p{Nd}\p{Pc}]+/u;
const STRING = /^(?:'((?:[^'\\]|\\[\s\S])*)'|"((?:[^"\\]|\\[\s\S])*)")/;
const CLOSING: Record<string, string> = { ")": "(", "]": "[", "}": "{" };

export function tokenize(source: string): Token[] {
  return new Lexer(source.replace(/\r\n?/g, "\n").replace(/\n$/, "")).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  /** Whether the next character begins a line. */
  #lineStarts = true;
  /** The number of lines up to #counted. */
  #lines = 1;
  #counted = 0;

  constructor(source: string) {
    this.#source = source;
  }

  run(): Token[] {
    const source = this.#source;
    while (this.#at < source.length) {
      MARK.lastIndex = this.#at;
      const mark = MARK.exec(source);
      if (mark === null) {
        this.#push("data", source.slice(this.#at));
        break;
      }
      this.#mark(mark[0], mark.index);
    }
    return this.#tokens;
  }

  #mark(mark: string, index: number): void {
    const sign = this.#sign(index + 2);
    this.#push("data", this.#stripped(this.#source.slice(this.#at, index), sign, mark !== "{{"));
    this.#at = index + 2 + sign.length;
    this.#lineStarts = false;
    if (mark === "{#") this.#skipComment();
    else if (mark === "{%" && RAW.test(this.#source.slice(this.#at))) this.#raw();
    else this.#inside(mark);
  }

  #sign(at: number): string {
    const sign = this.#source.charAt(at);
    return sign === "-" || sign === "+" ? sign : "";
  }

  /** Return the text before a mark, without the white space that the mark's sign or lstrip_blocks removes. */
  #stripped(text: string, sign: string, block: boolean): string {
    if (sign === "-") return rstrip(text);
    if (sign === "+" || !block) return text;
    const start = text.lastIndexOf("\n") + 1;
    const blank = start < text.length && rstrip(text.slice(start)) === "";
    return blank && (start > 0 || this.#lineStarts) ? text.slice(0, start) : text;
  }

  /**
   * Continue after a mark that ends at `at`: skip white space after a minus, or one line end after a statement or
   * comment.
   */
  #after(at: number, sign: string, block: boolean): void {
    const source = this.#source;
    let end = at;
    if (sign === "-") while (end < source.length && isSpace(source.charAt(end))) end++;
    else if (sign === "" && block && source.charAt(end) === "\n") end++;
    this.#lineStarts = source.charAt(end - 1) === "\n";
    this.#at = end;
  }

  #skipComment(): void {
    const end = this.#source.indexOf("#}", this.#at);
    if (end < 0) this.#fail("Missing end of comment tag");
    const sign = end > this.#at ? this.#sign(end - 1) : "";
    this.#after(end + 2, sign, true);
  }

  #raw(): void {
    const [begin = "", minus = ""] = RAW.exec(this.#source.slice(this.#at)) ?? [];
    this.#after(this.#at + begin.length, minus, false);
    ENDRAW.lastIndex = this.#at;
    const end = ENDRAW.exec(this.#source);
    if (end === null) this.#fail("Missing end of raw directive");
    const [whole, before = "", after = ""] = end;
    this.#push("data", this.#stripped(this.#source.slice(this.#at, end.index), before, true));
    this.#after(end.index + whole.length, after, true);
  }

  #inside(mark: string): void {
    const close = mark === "{{" ? "}}" : "%}";
    const open: string[] = [];
    this.#push("begin", mark);
    for (;;) {
      const rest = this.#source.slice(this.#at);
      const sign = /^[-+]/.exec(rest)?.[0] ?? "";
      if (open.length === 0 && (sign === "+" ? close === "%}" : true) && rest.startsWith(close, sign.length)) {
        this.#push("end", close);
        this.#after(this.#at + sign.length + 2, sign, close === "%}");
        return;
      }
      this.#at += this.#one(rest, open);
    }
  }

  /** Read one token of an expression, or white space, and return its length. */
  #one(rest: string, open: string[]): number {
    if (rest === "") this.#fail("unexpected end of template");
    if (isSpace(rest.charAt(0))) return 1;
    // In x.0.1, both numbers are members.
    const number = (this.#source.charAt(this.#at - 1) === "." ? MEMBER : NUMBER).exec(rest);
    if (number) return this.#push(number[1] ? "float" : "integer", number[0].replaceAll("_", "")) || number[0].length;
    const name = NAME.exec(rest)?.[0];
    if (name) return this.#push("name", name) || name.length;
    const string = STRING.exec(rest);
    if (string) return this.#push("string", unescaped(string[1] ?? string[2] ?? "")) || string[0].length;
    const operator = OPERATOR.exec(rest)?.[0];
    if (operator === undefined)
      return this.#fail(`unexpected char '${String.fromCodePoint(rest.codePointAt(0) ?? 0)}'`);
    this.#balance(operator, open);
    return this.#push("operator", operator) || operator.length;
  }

  #balance(operator: string, open: string[]): void {
    if ("([{".includes(operator)) open.push(operator);
    else if (operator in CLOSING && open.pop() !== CLOSING[operator]) this.#fail(`unexpected '${operator}'`);
  }

  #push(type: Token["type"], text: string): 0 {
    if (type !== "data" || text !== "") this.#tokens.push({ type, text, line: this.#line() });
    return 0;
  }

  #line(): number {
    for (; this.#counted < this.#at; this.#counted++) if (this.#source.charAt(this.#counted) === "\n") this.#lines++;
    return this.#lines;
  }

  #fail(message: string): never {
    return fail(`${message} (line ${this.#line()})`, "TemplateSyntaxError");
  }
}

const SIMPLE: Record<string, string> = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f", v: "\v", a: "\x07", "\n": "" };

/** Return a string with its escapes, which are Python's, resolved. */
function unescaped(text: string): string {
  return text.replace(/\\(x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|[0-7]{1,3}|[\s\S])/g, (whole, code: string) => {
    if (/^[xuU]./.test(code)) return String.fromCodePoint(Number.parseInt(code.slice(1), 16));
    if (/^[0-7]/.test(code)) return String.fromCodePoint(Number.parseInt(code, 8));
    return SIMPLE[code] ?? (/["'\\]/.test(code) ? code : whole);
  });
}
