/** Makes foreign text safe to stand among the page's own. */

// biome-ignore lint/suspicious/noControlCharactersInRegex: the expression searches for them
const CONTROLS = /[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]|[\ud802-\ud803\ud83a-\ud83b]/;
const MARKS = /[\u202a-\u202e\u2066-\u2069]/;

const POP_EMBEDDING = "\u202c";
const POP_ISOLATE = "\u2069";
/** The character that ends the stretch which each character begins. */
const ENDS: Record<string, string> = {
  "\u202a": POP_EMBEDDING,
  "\u202b": POP_EMBEDDING,
  "\u202d": POP_EMBEDDING,
  "\u202e": POP_EMBEDDING,
  "\u2066": POP_ISOLATE,
  "\u2067": POP_ISOLATE,
  "\u2068": POP_ISOLATE,
};

/**
 * Return a name, path or error with a sign for each control character, and without effect on the order of other words.
 */
export function plain(text: string): string {
  return text.replace(CONTROLS, "\ufffd");
}

/** The maximum number of characters of a name in a sentence: a bundle's name may be of any length. */
const MAX_NAME = 120;

/** As `plain`, for the middle of a sentence. */
export function plainAmongWords(name: string): string {
  const text = name.length > MAX_NAME ? `${name.slice(0, MAX_NAME)}…` : name;
  return RIGHT_TO_LEFT.test(text) ? `\u2068${plain(text)}\u2069` : plain(text);
}

/**
 * Return text in which each change of direction ends before the end of the text, and none ends that began before it.
 */
export function balanced(text: string): string {
  if (!MARKS.test(text)) return text;
  const open: string[] = [];
  let made = "";
  for (const character of text) {
    const end = ENDS[character];
    if (end !== undefined) open.push(end);
    else if (character === POP_EMBEDDING && open.at(-1) !== POP_EMBEDDING) continue;
    else if (character === POP_EMBEDDING) open.pop();
    else if (character === POP_ISOLATE) {
      const begun = open.lastIndexOf(POP_ISOLATE);
      if (begun < 0) continue;
      open.length = begun; // inner stretches end too
    }
    made += character;
  }
  return made + open.reverse().join("");
}
