/** What others wrote, cut to what a sentence can hold: whatever a bundle says, it is not repeated at length. */

/** Characters of a value in a sentence. */
const MOST_SHOWN = 80;

/** `text` itself, or its beginning and its end where it has more than `most` characters. */
export function brief(text: string, most = MOST_SHOWN): string {
  if (text.length <= most) return text;
  const end = Math.floor(most / 4);
  return `${text.slice(0, most - end)}…${text.slice(-end)}`;
}

/** A value of somebody's JSON, at no more cost than its first characters. */
export function shown(value: unknown, most = MOST_SHOWN): string {
  if (value === undefined) return "absent";
  if (typeof value === "string") {
    const text = JSON.stringify(value.slice(0, most));
    return value.length > most ? `${text.slice(0, -1)}…"` : text;
  }
  if (Array.isArray(value)) return isShort(value) ? brief(JSON.stringify(value), most) : `a list of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return brief(String(value), most);
}

/** Few items, and none that holds others. */
function isShort(list: readonly unknown[]): boolean {
  return (
    list.length <= 8 &&
    list.every((one) => typeof one !== "object" && !(typeof one === "string" && one.length > MOST_SHOWN))
  );
}
