/** The parser and renderer, which the stream loads with the first answer. */

export { parse, startOfLast } from "./parse.ts";
export { render } from "./render.ts";
