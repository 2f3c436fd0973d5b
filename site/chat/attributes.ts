/** The attributes of `<gemtab-chat>`, and the properties that mirror them. */

import type { LoadOptions } from "../../webruntime/src/api/index.ts";
import { checkAddress, checkFlag, checkText, type Reveal } from "./checks.ts";
import type { ListenedElement } from "./events.ts";

type Plan = NonNullable<LoadOptions["plan"]>;

/** A server that renders pages has no HTMLElement. The module can still be imported there. */
const Base = (globalThis.HTMLElement ?? class {}) as unknown as { new (): ListenedElement };

/**
 * The attributes as properties. Setting one throws UsageError for a value of the wrong type; null removes the
 * attribute.
 */
export class Attributes extends Base {
  /** The attributes whose changes take effect at once. */
  static readonly observedAttributes = ["src", "plan", "reveal", "system", "thinking"];

  /** The address of the bundle's folder. Default: "", no bundle. */
  get src(): string {
    return this.getAttribute("src") ?? "";
  }

  set src(src: string | URL | null | undefined) {
    this.#reflect("src", src, checkAddress);
  }

  /** The address of the folder with gemtab's own scripts, as in LoadOptions. Default: "", beside the page's script. */
  get assets(): string {
    return this.getAttribute("assets") ?? "";
  }

  set assets(assets: string | URL | null | undefined) {
    this.#reflect("assets", assets, checkAddress);
  }

  /**
   * When the model is loaded: "interaction" (default), after a click, or "auto", when the element is visible. An
   * unknown value is rejected when the bundle is read.
   */
  get reveal(): Reveal {
    return (this.getAttribute("reveal") ?? "interaction") as Reveal;
  }

  set reveal(reveal: Reveal | null | undefined) {
    this.#reflect("reveal", reveal);
  }

  /**
   * The type of keys and values in the caches: "f16", "f32" or "auto" (default), as in LoadOptions. An unknown value is
   * rejected when the bundle is read.
   */
  get plan(): Plan {
    return (this.getAttribute("plan") ?? "auto") as Plan;
  }

  set plan(plan: Plan | null | undefined) {
    this.#reflect("plan", plan);
  }

  /** The system prompt. Default: "", none. */
  get system(): string {
    return this.getAttribute("system") ?? "";
  }

  set system(system: string | null | undefined) {
    this.#reflect("system", system);
  }

  /** Whether the model thinks before it answers. Default: false. */
  get thinking(): boolean {
    return this.hasAttribute("thinking");
  }

  set thinking(thinking: boolean | null | undefined) {
    checkFlag("thinking", thinking ?? false);
    this.toggleAttribute("thinking", thinking ?? false);
  }

  #reflect(name: string, value: string | URL | null | undefined, check = checkText): void {
    if (value === null || value === undefined) {
      this.removeAttribute(name);
      return;
    }
    check(name, value);
    this.setAttribute(name, String(value));
  }
}

/**
 * Set again the properties that a page set before the element's script was loaded: as own properties, they hide the
 * properties of the class. Return the errors of those that are rejected.
 */
export function takeEarlyProperties(element: HTMLElement, names: readonly string[]): Error[] {
  return names.flatMap((name) => {
    const early = Object.getOwnPropertyDescriptor(element, name);
    if (!early) return [];
    Reflect.deleteProperty(element, name);
    try {
      Reflect.set(element, name, early.value);
      return [];
    } catch (error) {
      return [error as Error];
    }
  });
}
