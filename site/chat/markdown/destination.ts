/** Shows the destination of a link whose words look like another address. */

/** A host in a text: after `://`, or names with dots of which the last is not a number, or four numbers. */
const HOSTS = /:\/+(?:[^\s/?#]*@)?([^\s/?#:]+)|((?:[\p{L}\p{N}_-]+\.)+\p{L}[\p{L}\p{N}-]+|\d+(?:\.\d+){3})/gu;
/** Invisible characters. */
const UNSEEN = /\p{Cf}/gu;

/** Return the destination to show after a link with these words, or undefined where the words do not mislead. */
export function destination(url: URL, words: string): string | undefined {
  const text = words.normalize("NFKC").replace(UNSEEN, "").replaceAll("。", ".").trim().toLowerCase();
  const named = Array.from(text.matchAll(HOSTS), ([, authority, name]) => authority ?? name ?? "");
  if (named.length === 0) return undefined;
  const target = targetOf(url);
  if (url.protocol === "mailto:") return text.includes(target) ? undefined : target;
  if (url.username !== "" || (url.hostname.includes("xn--") && !text.includes(url.hostname))) return target;
  if (!text.includes(" ") && hostOf(text) === hostOf(url.href)) return undefined;
  return named.every((name) => hostOf(name) === hostOf(url.href)) ? undefined : target;
}

function targetOf(url: URL): string {
  if (url.protocol !== "mailto:") return url.host;
  try {
    return decodeURIComponent(url.pathname).toLowerCase();
  } catch {
    return url.pathname;
  }
}

/** Return the host of an address with or without its protocol, without `www.`. */
function hostOf(address: string): string {
  const whole = address.includes("://") ? address : `https://${address}`;
  return URL.canParse(whole) ? new URL(whole).hostname.replace(/^www\./, "") : "";
}
