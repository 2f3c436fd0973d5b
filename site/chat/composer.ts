/** The field and the buttons to write, attach, record and send. */

import { type Attachment, Attachments, type Kind } from "./attachments.ts";
import { Camera } from "./camera.ts";
import { make } from "./dom.ts";
import { Recorder } from "./recorder.ts";
import { plain } from "./written.ts";

/** The maximum number of lines of the field, where the style sheet cannot grow it (no `field-sizing`). */
const MAX_ROWS = 8;

/** The key code of IME input that browsers report without `isComposing`. */
const IME_KEY_CODE = 229;

/** A message that the visitor is about to send. */
export interface Draft {
  text: string;
  attachments: Attachment[];
}

/** The field and its buttons. */
export class Composer {
  readonly element: HTMLElement;
  readonly #field: HTMLTextAreaElement;
  readonly #button: HTMLButtonElement;
  readonly #form: HTMLFormElement;
  readonly #attachments: Attachments;
  readonly #recorder: Recorder;
  readonly #camera: Camera;
  readonly #notice = make("p", { part: "notice", role: "alert" });
  #answering = false;
  #sending = false;

  constructor(actions: { send(draft: Draft): void; stop(): void }) {
    const reject = (reason: string) => this.reject(reason);
    this.#attachments = new Attachments({ reject });
    this.#recorder = new Recorder({ reject, recorded: (audio) => this.#added([audio]) });
    this.#camera = new Camera({ reject, taken: (image) => this.#added([image]) });
    this.#field = make("textarea", { part: "input", rows: 1, placeholder: "Write a message", enterKeyHint: "send" });
    this.#field.ariaLabel = "Message";
    this.#button = make("button", { part: "send", type: "submit" });
    const tools = make("div", { part: "tools" }, this.#attachments.button, this.#camera.button, this.#recorder.button);
    this.#form = make("form", { part: "composer" }, tools, this.#field, this.#button);
    const { panel: recording } = this.#recorder;
    const { panel: camera } = this.#camera;
    this.element = make(
      "div",
      { part: "writing" },
      this.#notice,
      camera,
      recording,
      this.#attachments.tray,
      this.#form,
    );
    this.answering = false;

    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#answering) actions.stop();
      else void this.#send(actions.send);
    });
    if (!CSS.supports("field-sizing", "content")) this.#field.addEventListener("input", () => this.#grow());
    this.#field.addEventListener("keydown", (event) => {
      const composing = event.isComposing || event.keyCode === IME_KEY_CODE;
      if (event.key !== "Enter" || event.shiftKey || composing) return;
      event.preventDefault();
      if (!this.#answering) this.#form.requestSubmit();
    });
    this.#field.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      const text = event.clipboardData?.getData("text/plain") ?? "";
      // Spreadsheets add an image of the cells to their text; file managers add the names of the files.
      if (files.length === 0 || !isNothingButNames(text, files)) return;
      event.preventDefault();
      this.#added(files);
    });
  }

  /** The kinds of media that the model takes. */
  set kinds(kinds: readonly Kind[]) {
    this.#attachments.kinds = kinds;
    this.#recorder.button.hidden = !kinds.includes("audio");
    this.#camera.button.hidden = !kinds.includes("image");
  }

  /** Whether the model is answering: Send is then Stop. */
  set answering(answering: boolean) {
    this.#answering = answering;
    this.#button.textContent = answering ? "Stop" : "Send";
    this.#button.ariaKeyShortcuts = answering ? "Escape" : "Enter";
  }

  /** Whether the draft is empty. */
  get empty(): boolean {
    return this.#field.value.trim() === "" && this.#attachments.empty;
  }

  /** Accept files that are dropped anywhere on `target`. */
  takeDrops(target: HTMLElement): void {
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    target.addEventListener("dragover", (event) => {
      if (!carriesFiles(event) || this.#attachments.kinds.length === 0) return;
      event.preventDefault();
      this.element.part.add("dropping");
    });
    target.addEventListener("dragleave", () => this.element.part.remove("dropping"));
    target.addEventListener("drop", (event) => {
      this.element.part.remove("dropping");
      if (!carriesFiles(event) || this.#attachments.kinds.length === 0) return;
      event.preventDefault();
      this.#added(event.dataTransfer?.files ?? []);
    });
  }

  /** Restore a draft that could not be sent, unless the visitor has begun another. */
  put({ text, attachments }: Draft): void {
    if (!this.empty) return;
    this.#field.value = text;
    this.#attachments.put(attachments);
  }

  /** Return the draft, and empty the field. */
  take(): Draft {
    const text = this.#field.value.trim();
    this.#field.value = "";
    this.#notice.textContent = "";
    return { text, attachments: this.#attachments.take() };
  }

  /** Switch microphone and camera off, when the visitor leaves the conversation. */
  rest(): void {
    void this.#recorder.stop();
    this.#camera.stop();
  }

  /**
   * Send the draft. A running recording is ended and included, and so are files that were just attached, although their
   * kind may still have to be detected.
   */
  async #send(send: (draft: Draft) => void): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    try {
      const complete = await this.#recorder.stop();
      await this.#attachments.settled;
      if (complete && !this.#answering && !this.empty) send(this.take());
    } finally {
      this.#sending = false;
    }
  }

  #added(files: Iterable<File>): void {
    this.#notice.textContent = "";
    this.#attachments.add(files);
    this.focus();
  }

  /** Show why something cannot be sent or used. */
  reject(reason: string): void {
    this.#notice.textContent = [this.#notice.textContent, plain(reason)].filter(Boolean).join(" ");
  }

  #grow(): void {
    this.#field.rows = Math.min(MAX_ROWS, this.#field.value.split("\n").length);
  }

  /** Move the focus to the field. */
  focus(): void {
    this.#field.focus({ preventScroll: true });
  }
}

/** Whether each line of the pasted text is the name or the path of one of the files. True for no text. */
function isNothingButNames(text: string, files: readonly File[]): boolean {
  const lines = text.split(/[\r\n]+/).filter((line) => line.trim() !== "");
  return lines.every((line) => files.some(({ name }) => line.trim().endsWith(name)));
}
