/** Addresses of a folder's files, as pages give them: with or without the last slash, a query, a fragment. */

import { brief } from "../brief.ts";
import { UsageError } from "../errors.ts";
import { MANIFEST_NAME } from "./facts.gen.ts";

/** Schemes of addresses that hold one file's bytes, or name them, and so no folder. */
const WITHOUT_FOLDERS = ["blob:", "data:", "about:", "javascript:"];

/**
 * A folder on a web host. A query, such as the signature of a signed address, belongs to every file of the folder, and so
 * does a fragment, which a service worker can read.
 */
export class FolderAddress {
  /** The folder's address without query and fragment; ends with a slash. */
  readonly folder: string;
  readonly #suffix: string;
  readonly #query: string;

  /**
   * @param given the folder's address, or that of the file `main` in it; query and fragment are kept
   * @param base the address that a relative one is relative to
   * @param main the file that stands for its folder
   * @throws UsageError where the address is none, or cannot be a folder's
   */
  constructor(given: string | URL, base?: string, main?: string) {
    const url = parse(given, base);
    if (WITHOUT_FOLDERS.includes(url.protocol)) {
      throw new UsageError(
        `An address that begins with "${url.protocol}" holds one file, and a folder of files is needed here. Name the ` +
          "folder on a web host instead, such as bundles/my-model/.",
      );
    }
    this.#query = url.search;
    this.#suffix = url.search + url.hash;
    url.search = url.hash = "";
    const { pathname } = url;
    if (main !== undefined && pathname.endsWith(`/${main}`)) url.pathname = pathname.slice(0, -main.length);
    else if (!pathname.endsWith("/")) url.pathname = `${pathname}/`;
    this.folder = url.href;
  }

  /** The address of the file of that name, which may have slashes in it. */
  file(name: string): string {
    return this.folder + name.split("/").map(encodeURIComponent).join("/") + this.#suffix;
  }

  /** The whole address of the folder. */
  get href(): string {
    return this.folder + this.#suffix;
  }

  /** Two addresses with the same identity bring the same files: fragments are not sent to hosts. */
  get identity(): string {
    return this.folder + this.#query;
  }
}

/** The address of a bundle's folder, given that or the address of its manifest. Throws UsageError where it is neither. */
export function bundleAddress(url: string | URL, base = globalThis.document?.baseURI ?? globalThis.location?.href) {
  return new FolderAddress(url, base, MANIFEST_NAME);
}

function parse(given: string | URL, base: string | undefined): URL {
  try {
    return new URL(given, base);
  } catch {
    const relative = base === undefined ? ", which there is no page to complete" : "";
    throw new UsageError(
      `"${brief(String(given))}" is not an address${relative}. Give the folder's full address (https://…/).`,
    );
  }
}
