/** How closely pictures are looked at. */

import type { ImageDetail } from "../../webruntime/src/api/index.ts";
import { make } from "./dom.ts";

export class DetailChoice {
  readonly #select = make("select", { part: "detail" });
  readonly element = make("label", { part: "detail-choice", hidden: true }, "Picture detail ", this.#select);

  /** Tokens that a picture may be given, ascending; none where the model does not see. */
  set choices(choices: readonly ImageDetail[]) {
    this.element.hidden = choices.length < 2;
    const options = choices.map((tokens) => new Option(`${tokens} tokens`, String(tokens)));
    this.#select.replaceChildren(new Option("default", ""), ...options);
  }

  /** Undefined where the model decides. */
  get chosen(): ImageDetail | undefined {
    return this.#select.value === "" ? undefined : (Number(this.#select.value) as ImageDetail);
  }
}
