/**
 * Parses formulas for micromark, `$…$`, `$$…$$`, `\(…\)` and `\[…\]`: text without marks. CommonMark would read `_` and
 * `*` in formulas as emphasis, and drop half of the backslashes.
 */

import type { Code, Construct, Extension, State, Tokenizer } from "micromark-util-types";

const [LINE_ENDINGS, DOLLAR, BACKSLASH, BACKTICK] = [-3, 36, 92, 96];
const CLOSING: Record<number, number> = { 40: 41, 91: 93 };

const WORD = /[\p{L}\p{N}]/u;

const dollars: Construct = { name: "dollarMath", tokenize: tokenizeDollars, previous: (code) => code !== DOLLAR };
const brackets: Construct = { name: "bracketMath", tokenize: tokenizeBrackets };

/** Return the extension. It comes before CommonMark's meaning of the same characters. */
export function math(): Extension {
  return { text: { [DOLLAR]: dollars, [BACKSLASH]: brackets } };
}

/**
 * A single dollar is often money or a variable. A formula therefore has no white space beside its dollars, ends on its
 * line, contains no code, and has no letter or digit after it.
 */
function tokenizeDollars(...[effects, ok, nok]: Parameters<Tokenizer>): State {
  const text = textOf(effects);
  let [width, closing] = [0, 0];
  let last: Code = null;
  let escaped = false;

  return opening;

  function opening(code: Code): State | undefined {
    if (code === DOLLAR && width < 2) {
      text.take(code);
      width += 1;
      return opening;
    }
    return code === DOLLAR || (width === 1 && isSpace(code)) ? nok(code) : inside(code);
  }

  function inside(code: Code): State | undefined {
    if (code === null || (width === 1 && (isLineEnding(code) || code === BACKTICK))) return nok(code);
    if (code === DOLLAR && !escaped) return width === 1 && isSpace(last) ? nok(code) : close(code);
    escaped = !escaped && code === BACKSLASH;
    last = code;
    text.take(code);
    return inside;
  }

  function close(code: Code): State | undefined {
    if (code === DOLLAR && closing < width) {
      text.take(code);
      closing += 1;
      return close;
    }
    const isClosed = closing === width && code !== DOLLAR && !(width === 1 && isWord(code));
    if (isClosed) return text.end(ok)(code);
    if (width === 1) return nok(code);
    closing = 0;
    return inside(code);
  }
}

function tokenizeBrackets(...[effects, ok, nok]: Parameters<Tokenizer>): State {
  const text = textOf(effects);
  let closing: number | undefined;
  let escaped = false;

  return (code) => {
    text.take(code);
    return opening;
  };

  function opening(code: Code): State | undefined {
    closing = CLOSING[code ?? 0];
    if (closing === undefined) return nok(code);
    text.take(code);
    return inside;
  }

  function inside(code: Code): State | undefined {
    if (code === null) return nok(code);
    text.take(code);
    if (escaped && code === closing) return text.end(ok);
    escaped = !escaped && code === BACKSLASH;
    return inside;
  }
}

/** Return a function that consumes characters as text, and line ends separately, as micromark requires. */
function textOf(effects: Parameters<Tokenizer>[0]) {
  let open = false;
  const close = () => {
    if (open) effects.exit("data");
    open = false;
  };
  return {
    take(code: Code): void {
      if (isLineEnding(code)) {
        close();
        effects.enter("lineEnding");
        effects.consume(code);
        effects.exit("lineEnding");
        return;
      }
      if (!open) effects.enter("data");
      open = true;
      effects.consume(code);
    },
    end:
      (ok: State): State =>
      (code) => {
        close();
        return ok(code);
      },
  };
}

function isLineEnding(code: Code): boolean {
  return code !== null && code <= LINE_ENDINGS;
}

/** Whether a code is white space. The codes of tabs and line ends are negative. */
function isSpace(code: Code): boolean {
  return code === null || code < 0 || code === 32;
}

function isWord(code: Code): boolean {
  return code !== null && code > 0 && WORD.test(String.fromCodePoint(code));
}
