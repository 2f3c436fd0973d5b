/** The attributes of `<gemtab-chat>`, and the properties that mirror them. */

import { checkAddress, checkFlag, checkText, type Reveal } from "./checks.ts";
import type { ListenedElement } from "./events.ts";

type Plan = "auto" | "f16" | "f32";

/** On a server that renders pages there is no HTMLElement; the module can be imported there all the same. */
const Base = (globalThis.HTMLElement ?? class {}) as unknown as { new (): ListenedElement };

/** Properties throw UsageError for a value of the wrong type; null takes the attribute away. */
export class Attributes extends Base {
  static readonly observedAttributes = ["src", "plan", "reveal", "system", "thinking"];

  get src(): string {
    return this.getAttribute("src") ?? "";
  }

  set src(src: string | URL | null | undefined) {
    this.#reflect("src", src, checkAddress);
  }

  get assets(): string {
    return this.getAttribute("assets") ?? "";
  }

  set assets(assets: string | URL | null | undefined) {
    this.#reflect("assets", assets, checkAddress);
  }

  /** What the attribute says; a value that is not known is refused when the bundle is looked at. */
  get reveal(): Reveal {
    return (this.getAttribute("reveal") ?? "interaction") as Reveal;
  }

  set reveal(reveal: Reveal | null | undefined) {
    this.#reflect("reveal", reveal);
  }

  /** What the attribute says; a value that is not known is refused when the bundle is looked at. */
  get plan(): Plan {
    return (this.getAttribute("plan") ?? "auto") as Plan;
  }

  set plan(plan: Plan | null | undefined) {
    this.#reflect("plan", plan);
  }

  get system(): string {
    return this.getAttribute("system") ?? "";
  }

  set system(system: string | null | undefined) {
    this.#reflect("system", system);
  }

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
 * Sets again the properties that a page set before the element's script came: as own properties, these hide the
 * class's. Returns the errors of those that are rejected.
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
