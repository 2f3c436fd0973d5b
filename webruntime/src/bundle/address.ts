/** Addresses of the files of a folder on a web host. */

import { brief } from "../brief.ts";
import { UsageError } from "../errors.ts";
import { MANIFEST_NAME } from "./facts.gen.ts";

/** Schemes of addresses that stand for one file and cannot have a folder. */
const WITHOUT_FOLDERS = ["blob:", "data:", "about:", "javascript:"];

/**
 * A folder on a web host. The query of the folder's address, such as a signature, is added to the address of every file.
 * So is the fragment, which a service worker can read.
 */
export class FolderAddress {
  /** The folder's address without query and fragment, with a slash at the end. */
  readonly folder: string;
  readonly #suffix: string;
  readonly #query: string;

  /**
   * @param given the folder's address, with or without the last slash, or the address of the file `main` in the folder
   * @param base the base of a relative address; without a base, a relative address is an error
   * @param main the file whose address also stands for the folder; none by default
   * @throws UsageError for an invalid address, and for one that stands for a single file
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

  /** The address of a file. name: the path in the folder. */
  file(name: string): string {
    return this.folder + name.split("/").map(encodeURIComponent).join("/") + this.#suffix;
  }

  /** The folder's address with query and fragment. */
  get href(): string {
    return this.folder + this.#suffix;
  }

  /** Equal for addresses with the same files: the folder's address without the fragment, which hosts do not see. */
  get identity(): string {
    return this.folder + this.#query;
  }
}

/**
 * The address of a bundle's folder.
 *
 * @param url the folder's address, or that of its manifest
 * @param base the base of a relative address: by default that of the page, or of the worker
 * @throws UsageError for an address that can be neither
 */
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
