/** Manages the files that wait to be sent: chosen, dropped, pasted or recorded images, audio and videos. */

import { make } from "./dom.ts";

/** The kinds of media. */
export type Kind = "image" | "audio" | "video";

/** A file that waits to be sent. */
export interface Attachment {
  kind: Kind;
  blob: Blob;
  name: string;
}

/** Larger files are rejected before they are read: a tab would run out of memory. */
const MAX_BYTES = 512e6;

const KINDS: Record<Kind, string> = { image: "an image", audio: "an audio file", video: "a video" };

interface Waiting extends Attachment {
  url: string;
  item: HTMLElement;
}

/** The files that wait to be sent, their tray, and the button that adds files. */
export class Attachments {
  /** The waiting files. Hidden where there are none. */
  readonly tray = make("ul", { part: "tray", hidden: true, ariaLabel: "Attached" });
  readonly button = make("button", { part: "attach", type: "button", hidden: true, ariaLabel: "Attach a file" }, "+");
  readonly #input = make("input", { type: "file", multiple: true, hidden: true });
  readonly #reject: (reason: string) => void;
  #kinds: readonly Kind[] = [];
  #waiting: Waiting[] = [];
  #settled = Promise.resolve();

  constructor(actions: { reject(reason: string): void }) {
    this.#reject = (reason) => actions.reject(reason);
    this.button.append(this.#input);
    this.button.addEventListener("click", () => this.#input.click());
    // Otherwise the click that opens the chooser reaches the button around the input.
    this.#input.addEventListener("click", (event) => event.stopPropagation());
    this.#input.addEventListener("change", () => {
      this.add(this.#input.files ?? []);
      this.#input.value = "";
    });
  }

  /** The kinds of media that the model takes. */
  set kinds(kinds: readonly Kind[]) {
    this.#kinds = kinds;
    this.button.hidden = kinds.length === 0;
    this.#input.accept = [...kinds.map((kind) => `${kind}/*`), "application/ogg"].join(",");
  }

  get kinds(): readonly Kind[] {
    return this.#kinds;
  }

  /** Whether no files wait. */
  get empty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Settles when all added files are shown or rejected. */
  get settled(): Promise<void> {
    return this.#settled;
  }

  /** Add files. A file that the model does not take is rejected with a notice. */
  add(files: Iterable<File>): void {
    // An input's list of files becomes empty with the input.
    const added = [...files];
    this.#settled = this.#settled.then(() => this.#add(added));
  }

  /** Restore attachments that could not be sent. */
  put(attachments: readonly Attachment[]): void {
    for (const attachment of attachments) this.#show(attachment);
  }

  /** Return the waiting files and remove them from the tray. */
  take(): Attachment[] {
    const taken = this.#waiting.map(({ kind, blob, name }) => ({ kind, blob, name }));
    for (const waiting of [...this.#waiting]) this.#remove(waiting);
    return taken;
  }

  async #add(files: readonly File[]): Promise<void> {
    for (const file of files) {
      const kind = await kindOf(file);
      if (kind === undefined || !this.#kinds.includes(kind)) this.#reject(this.#notTaken(file, kind));
      else if (file.size === 0) this.#reject(`${file.name} is empty: it has no bytes. Choose another file.`);
      else if (file.size > MAX_BYTES) {
        const size = `${Math.round(file.size / 1e6)} MB`;
        this.#reject(
          `${file.name} has ${size}; at most ${MAX_BYTES / 1e6} MB can be attached. Cut it or make it smaller first.`,
        );
      } else this.#show({ kind, blob: file, name: file.name });
    }
  }

  #show(attachment: Attachment): void {
    const url = URL.createObjectURL(attachment.blob);
    const label = `Remove ${attachment.name}`;
    const remove = make("button", { part: "remove", type: "button", ariaLabel: label, title: label }, "×");
    const item = make("li", { part: "attachment" }, viewOf(attachment, url), remove);
    const waiting = { ...attachment, url, item };
    remove.addEventListener("click", () => {
      this.#remove(waiting);
      this.button.focus();
    });
    this.#waiting.push(waiting);
    this.tray.append(item);
    this.tray.hidden = false;
  }

  #remove(waiting: Waiting): void {
    this.#waiting = this.#waiting.filter((other) => other !== waiting);
    URL.revokeObjectURL(waiting.url);
    waiting.item.remove();
    this.tray.hidden = this.empty;
  }

  #notTaken(file: File, kind: Kind | undefined): string {
    const taken = this.#kinds.map((one) => KINDS[one]).join(", ") || "text only";
    const found = kind === undefined ? (file.type === "" ? "of an unknown kind" : file.type) : KINDS[kind];
    return `${file.name} is ${found}; this model takes ${taken}.`;
  }
}

/**
 * Return the element that shows an attachment, in the tray and in the conversation. `url` is an object URL of its
 * bytes.
 */
export function viewOf({ kind, name }: Pick<Attachment, "kind" | "name">, url: string): HTMLElement {
  switch (kind) {
    case "image":
      return make("img", { part: "thumbnail", src: url, alt: name });
    case "audio":
      return make("audio", { part: "player", src: url, controls: true, ariaLabel: name });
    case "video":
      return make("video", { part: "thumbnail", src: url, controls: true, muted: true, ariaLabel: name });
  }
}

/**
 * Return the kind of a file. Browsers use the ending of its name: a voice message in WebM or MP4 has the type
 * "video/webm" or "video/mp4", an Ogg file may have "application/ogg", and a file without an ending has none. A <video>
 * does not show the kind either: it plays only the audio of a video whose images it cannot decode.
 */
async function kindOf(file: File): Promise<Kind | undefined> {
  const kind = file.type.split("/")[0];
  if (kind === "image" || kind === "audio") return kind;
  if (kind === "text") return undefined;
  try {
    const { kindOfFile } = await import("../../webruntime/src/api/kind.ts");
    return (await kindOfFile(file)) ?? (kind === "video" ? kind : undefined);
  } catch {
    return kind === "video" ? kind : undefined;
  }
}
