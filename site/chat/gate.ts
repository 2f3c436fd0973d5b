/** The view before the conversation: facts about the model, the button that loads it, progress, and errors. */

import type { AdapterSummary, LoadProgress, LoadStage, Preview } from "../../webruntime/src/api/index.ts";
import { make } from "./dom.ts";
import { bytes, gpuName, slowNote } from "./numbers.ts";
import { plain, plainAmongWords } from "./written.ts";

const STAGES: Record<LoadStage, string> = {
  manifest: "Reading the bundle",
  download: "Downloading and checking",
  compile: "Compiling for your GPU",
  ready: "Ready",
};

const LOOKING = "Looking at the model…";
const AGAIN = "Try again";

/** The view before the conversation. */
export class Gate {
  readonly element: HTMLElement;
  readonly #facts = make("p", { part: "facts" });
  readonly #load = make("button", { part: "load", type: "button" }, "Load the model");
  readonly #stage = make("p", { part: "stage", role: "status" });
  readonly #bar = make("progress", { part: "bar", max: 1, value: 0, ariaLabel: "Loading" });
  readonly #rate = make("p", { part: "rate" });
  readonly #cancel = make("button", { part: "cancel", type: "button" }, "Cancel");
  readonly #notice = make("p", { part: "notice", role: "alert" });
  /** The warnings about this machine and the model. */
  #warnings = "";
  #error = "";
  readonly #loading = make("div", { part: "progress", hidden: true }, this.#stage, this.#bar, this.#rate, this.#cancel);

  constructor(actions: { load(): void; cancel(): void }) {
    const poster = make("slot", { name: "poster" }, this.#facts);
    const about = make("div", { part: "about" }, poster);
    this.element = make("div", { part: "gate" }, about, this.#load, this.#loading, this.#notice);
    this.#load.addEventListener("click", () => actions.load());
    this.#cancel.addEventListener("click", () => actions.cancel());
  }

  /** Show that there is no bundle: pages may name the bundle after they show the element. */
  showNothing(): void {
    this.#load.disabled = true;
    this.#say("", "");
  }

  /** Show that the bundle's manifest is being read. */
  showLooking(): void {
    this.#load.disabled = false;
    this.#say(LOOKING, "");
  }

  /** Show the facts about a bundle, and warnings about this machine. */
  showPreview({ manifest, downloadBytes, gpu, memory }: Preview): void {
    const size = `${plainAmongWords(manifest.source.name)}: ${bytes(downloadBytes)} to download, ${manifest.weights} weights, `;
    const context = `a context of ${manifest.context} tokens.`;
    const where = "It runs in this tab; nothing you write leaves this device.";
    const name = gpu instanceof Error ? "" : `GPU: ${gpuName(gpu)}.`;
    const warnings = gpu instanceof Error ? [gpu.message] : [softwareWarning(gpu), memoryWarning(memory)];
    this.#say([size + context, memorySentence(memory), where, name].join(" "), warnings.filter(Boolean).join(" "));
    if (gpu instanceof Error) this.#load.textContent = AGAIN;
  }

  /** Show the progress of a load. */
  showProgress({ stage, loaded, total, bytesPerSecond, stalled }: LoadProgress): void {
    this.#show("loading");
    const words = `${STAGES[stage]}…`;
    // A screen reader reads a status again when it is written again.
    if (this.#stage.textContent !== words) this.#stage.textContent = words;
    this.#bar.value = total > 0 ? loaded / total : 0;
    const rate = bytesPerSecond > 0 ? `, ${(bytesPerSecond / 1e6).toFixed(1)} MB/s` : "";
    const done = total > 0 ? `${bytes(loaded)} of ${bytes(total)}${rate}` : "";
    this.#rate.textContent = stalled === undefined ? done : slowNote(stalled);
  }

  /** Show the button that loads the model. */
  showIdle(): void {
    this.#notify("");
    this.#load.textContent = "Load the model";
    this.#show("idle");
  }

  /** Show an error. The messages of gemtab's errors also say what to do. */
  showError(error: Error): void {
    if (this.#facts.textContent === LOOKING) this.#facts.textContent = "";
    this.#notify(error.message);
    this.#load.textContent = AGAIN;
    this.#show("idle");
  }

  #say(facts: string, warnings: string): void {
    this.#facts.textContent = facts;
    this.#warnings = warnings;
    this.#notify(this.#error);
  }

  /** Show the error, or the warnings where there is none. */
  #notify(error: string): void {
    this.#error = error;
    this.#notice.textContent = plain(error || this.#warnings);
  }

  #show(what: "idle" | "loading"): void {
    this.#load.hidden = what === "loading";
    this.#loading.hidden = what === "idle";
  }
}

function memorySentence({ text, towers, stored }: Preview["memory"]): string {
  const more = towers > 0 ? `, and ${bytes(towers)} more at the first image or audio` : "";
  const spared = stored > 0 ? ` Another ${bytes(stored)} stays in the browser's storage.` : "";
  return `It takes up to ${bytes(text)} of the GPU's memory${more}.${spared}`;
}

/** Return a warning where the machine's memory is small: most GPUs share it. */
function memoryWarning({ text, machine, tight }: Preview["memory"]): string {
  if (machine === undefined || !tight) return "";
  const [verdict, advice] =
    text < machine
      ? ["which may be too little for the model", "If it does not load, close other tabs or choose a smaller one."]
      : ["less than the model takes", "Choose a smaller one."];
  return `This device has about ${bytes(machine)} of memory, ${verdict}. ${advice}`;
}

function softwareWarning({ software }: AdapterSummary): string {
  return software
    ? "This browser uses no graphics chip here. A software renderer runs the model instead, and answers will be slow."
    : "";
}
