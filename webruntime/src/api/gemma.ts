/// <reference lib="esnext.disposable" preserve="true" />
/** The model as a page sees it. */

import { bundleAddress } from "../bundle/address.ts";
import { AbortError, fromRecord, throwIfAborted } from "../errors.ts";
import type { ImageDetail, LoadProgress } from "../messages.ts";
import type { ModelInfo } from "../worker/protocol.ts";
import { Chat, type ChatOptions } from "./chat.ts";
import { gpuHistory, noteLoaded, noteLoss } from "./gpu-history.ts";
import { addressRule, checkChatOptions, checkLoadOptions } from "./options.ts";
import { findScripts } from "./scripts.ts";
import { acquireWorker, Unanswered, type WorkerThread } from "./worker.ts";

export interface LoadOptions {
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** Ends loading with an AbortError. */
  signal?: AbortSignal | undefined;
  /** Tokens that a conversation may take; at most, and by default, what the bundle was exported for. */
  context?: number | undefined;
  /** Bytes of the GPU's memory that the text model may take; loading fails where it needs more. */
  memory?: number | undefined;
  /**
   * Whether per-layer embeddings stay in the browser's storage, which saves memory and costs speed: `auto`, as by
   * default, where the model does not fit into `memory` otherwise, on machines that say they have little, and when the
   * GPU runs out of memory; or `never`, or `always`.
   */
  hostEmbeddings?: "auto" | "never" | "always" | undefined;
  /**
   * The folder with the scripts gemtab-worker*.js of the package, where the page's script was built by a bundler
   * that does not copy them. A page has one worker: the first load says where it comes from.
   */
  assets?: string | URL | undefined;
  /**
   * In what the caches keep keys and values: `auto`, as by default, in f16 where the GPU has it, which takes half of the
   * memory; or `f16`, or `f32`. All else is computed in f32.
   */
  plan?: "auto" | "f16" | "f32" | undefined;
}

/** A loaded bundle. */
export class Gemma {
  /** Manifest, GPU, memory, and the sampling that the model's makers suggest. */
  readonly info: ModelInfo;
  /** Resolves when the GPU is lost, or the worker had to be ended, with the reason; the model is then of no more use. */
  readonly lost: Promise<Error>;
  readonly #worker: WorkerThread;
  readonly #release: () => void;
  #disposed = false;

  private constructor(info: ModelInfo, worker: WorkerThread, release: () => void) {
    this.info = info;
    this.#worker = worker;
    this.#release = release;
    const lost = worker.call("lost", { model: info.model });
    // Where the worker ends because the model was given back, nothing was lost.
    this.lost = lost.then(
      (record) => {
        noteLoss();
        return fromRecord(record);
      },
      (error: Error) => (this.#disposed ? new Promise(() => undefined) : error),
    );
  }

  /**
   * Loads the bundle at `url` (its folder, with or without the last slash, or its gemtab.json), or joins the page's other
   * users of it. A query, such as the signature of a signed address, is sent with the request for each file.
   *
   * @throws BundleError, DeviceError, AbortError, and UsageError: for options that are not known as well
   */
  static async load(url: string | URL, options: LoadOptions = {}): Promise<Gemma> {
    addressRule(url, "url");
    checkLoadOptions(options);
    const { onProgress, signal, assets, ...choices } = options;
    throwIfAborted(signal);
    const { href } = bundleAddress(url);
    const scripts = findScripts(assets);
    const { worker, release } = acquireWorker(scripts.worker, href);
    try {
      const request = { url: href, mediaUrl: scripts.media, history: gpuHistory(), ...choices };
      const info = await worker.call("load", request, { signal, onEvent: onProgress, onSilence: "end" });
      noteLoaded();
      const gemma = new Gemma(info, worker, release);
      if (!signal?.aborted) return gemma;
      // The model was there before the worker heard of the abort.
      await gemma.dispose();
      throw new AbortError("Stopped at the caller's request.");
    } catch (error) {
      if (error instanceof Unanswered) unloadLate(worker, error.late);
      release();
      throw error;
    }
  }

  /** What messages may hold: "text" always, and "image", "audio" and "video" where the bundle takes them. */
  get inputs(): ModelInfo["inputs"] {
    return this.info.inputs;
  }

  /** The choices for `detail` of pictures and clips, ascending; none where the model does not see. */
  get details(): readonly ImageDetail[] {
    return this.info.details;
  }

  /**
   * Opens a conversation. Several may be open; they answer one after another.
   *
   * @throws UsageError for options that are not known, and for values and messages that cannot be
   */
  chat(options: ChatOptions = {}): Chat {
    checkChatOptions(options);
    return new Chat(this.#worker, this.info.model, options);
  }

  /** Recompiles one WGSL file of the bundle with `text`, weights and caches as they are (for development). */
  async swapShader(file: string, text: string): Promise<void> {
    await this.#worker.call("swapShader", { model: this.info.model, file, text });
  }

  /** Gives the GPU's memory back, once no other user of the page has the bundle loaded. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    try {
      await this.#worker.call("unload", { model: this.info.model }, { brief: true });
    } catch (error) {
      // Whoever else uses the worker is told when it is ended.
      if (!(error instanceof Unanswered)) throw error;
    } finally {
      this.#release();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** A load that nobody waits for any more. */
function unloadLate(worker: WorkerThread, late: Promise<unknown>): void {
  late
    .then((info) => worker.call("unload", { model: (info as ModelInfo).model }, { brief: true }))
    .catch(() => undefined);
}
