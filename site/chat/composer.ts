/** The field in which the visitor writes, and the button beside it. */

import { make } from "./dom.ts";

/** Lines up to which the field grows where the style sheet cannot make it (no `field-sizing`). */
const MOST_ROWS = 8;

/** IME input that browsers report without `isComposing`. */
const IME_KEY_CODE = 229;

export class Composer {
  readonly form: HTMLFormElement;
  readonly #field: HTMLTextAreaElement;
  readonly #button: HTMLButtonElement;
  #answering = false;

  constructor(actions: { send(text: string): void; stop(): void }) {
    this.#field = make("textarea", { part: "input", rows: 1, placeholder: "Write a message", enterKeyHint: "send" });
    this.#field.ariaLabel = "Message";
    this.#button = make("button", { part: "send", type: "submit" });
    this.form = make("form", { part: "composer" }, this.#field, this.#button);
    this.answering = false;

    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#answering) actions.stop();
      else if (this.#field.value.trim() !== "") actions.send(this.take());
    });
    if (!CSS.supports("field-sizing", "content")) this.#field.addEventListener("input", () => this.#grow());
    this.#field.addEventListener("keydown", (event) => {
      const composing = event.isComposing || event.keyCode === IME_KEY_CODE;
      if (event.key !== "Enter" || event.shiftKey || composing) return;
      event.preventDefault();
      if (!this.#answering) this.form.requestSubmit();
    });
  }

  /** While the model answers, Send is Stop. */
  set answering(answering: boolean) {
    this.#answering = answering;
    this.#button.textContent = answering ? "Stop" : "Send";
    this.#button.ariaKeyShortcuts = answering ? "Escape" : "Enter";
  }

  get text(): string {
    return this.#field.value;
  }

  set text(text: string) {
    this.#field.value = text;
  }

  take(): string {
    const text = this.#field.value.trim();
    this.#field.value = "";
    return text;
  }

  #grow(): void {
    this.#field.rows = Math.min(MOST_ROWS, this.#field.value.split("\n").length);
  }

  focus(): void {
    this.#field.focus({ preventScroll: true });
  }
}
