/** Shortens foreign texts for messages: a value of a bundle is never repeated at length. */

/** The maximum number of characters of a value in a sentence. */
const MAX_SHOWN = 80;

/** Return `text`, or its beginning and end where it has more than `most` characters. */
export function brief(text: string, most = MAX_SHOWN): string {
  if (text.length <= most) return text;
  const end = Math.floor(most / 4);
  return `${text.slice(0, most - end)}…${text.slice(-end)}`;
}

/** Return a short text of a JSON value. The cost does not depend on the value's size. */
export function shown(value: unknown, most = MAX_SHOWN): string {
  if (value === undefined) return "absent";
  if (typeof value === "string") {
    const text = JSON.stringify(value.slice(0, most));
    return value.length > most ? `${text.slice(0, -1)}…"` : text;
  }
  if (Array.isArray(value)) return isShort(value) ? brief(JSON.stringify(value), most) : `a list of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return brief(String(value), most);
}

/** Whether a list has few items, none of which is a list, an object or a long text. */
function isShort(list: readonly unknown[]): boolean {
  return (
    list.length <= 8 &&
    list.every((one) => typeof one !== "object" && !(typeof one === "string" && one.length > MAX_SHOWN))
  );
}
