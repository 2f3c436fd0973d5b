/// <reference lib="esnext.disposable" preserve="true" />
/** The page's interface to a model. */

import { bundleAddress } from "../bundle/address.ts";
import { AbortError, fromRecord, throwIfAborted } from "../errors.ts";
import type { ImageDetail, LoadProgress } from "../messages.ts";
import type { ModelInfo } from "../worker/protocol.ts";
import { Chat, type ChatOptions } from "./chat.ts";
import { gpuHistory, noteLoaded, noteLoss } from "./gpu-history.ts";
import { addressRule, checkChatOptions, checkLoadOptions } from "./options.ts";
import { findScripts } from "./scripts.ts";
import { acquireWorker, Unanswered, type WorkerThread } from "./worker.ts";

/** The options of `Gemma.load`. */
export interface LoadOptions {
  /** Called repeatedly with the progress of loading. */
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** Ends loading with an AbortError. */
  signal?: AbortSignal | undefined;
  /**
   * The context in tokens: the maximum length of a conversation. Default and maximum: the context of the bundle's
   * export.
   */
  context?: number | undefined;
  /**
   * The maximum bytes of GPU memory for the text model. Loading throws DeviceError where the model needs more. Default:
   * no limit.
   */
  memory?: number | undefined;
  /**
   * Whether per-layer embeddings stay in the browser's storage, which saves GPU memory and makes answers slower:
   * `never`, `always`, or `auto` (default). `auto` stores them where the model does not fit into `memory` otherwise, on
   * machines that report little memory, and when the GPU runs out of memory.
   */
  hostEmbeddings?: "auto" | "never" | "always" | undefined;
  /**
   * The address of the folder with the scripts gemtab-worker*.js of the package. Needed where a bundler
   * built the page's script and did not copy them. A page has one worker: the first load determines its script.
   * Default: beside the page's script.
   */
  assets?: string | URL | undefined;
  /**
   * The type of keys and values in the caches: `f16`, which halves their memory, `f32`, or `auto` (default), which is
   * f16 where the GPU has it. Everything else is computed in f32.
   */
  plan?: "auto" | "f16" | "f32" | undefined;
}

/** A loaded model. */
export class Gemma {
  /** The manifest, the GPU, the memory in use, and the default sampling. */
  readonly info: ModelInfo;
  /**
   * Resolves with the reason when the GPU is lost or the worker had to be ended. The model is then unusable: load it
   * again.
   */
  readonly lost: Promise<Error>;
  readonly #worker: WorkerThread;
  readonly #release: () => void;
  #disposed = false;

  private constructor(info: ModelInfo, worker: WorkerThread, release: () => void) {
    this.info = info;
    this.#worker = worker;
    this.#release = release;
    const lost = worker.call("lost", { model: info.model });
    // If the worker ends because the model was disposed of, nothing was lost.
    this.lost = lost.then(
      (record) => {
        noteLoss();
        return fromRecord(record);
      },
      (error: Error) => (this.#disposed ? new Promise(() => undefined) : error),
    );
  }

  /**
   * Load the bundle at `url`, or share the model with the page's other users of that bundle.
   *
   * @param url the bundle's folder, with or without the last slash, or its gemtab.json. A query, such as a signature,
   * is sent with the request of each file.
   * @throws BundleError where the bundle is missing, damaged, or of another version
   * @throws DeviceError where WebGPU is missing, or the GPU has too little memory
   * @throws AbortError when the signal fires
   * @throws UsageError for unknown options and invalid values
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
      // The model was loaded before the worker received the abort.
      await gemma.dispose();
      throw new AbortError("Stopped at the caller's request.");
    } catch (error) {
      if (error instanceof Unanswered) unloadLate(worker, error.late);
      release();
      throw error;
    }
  }

  /**
   * The kinds of content that messages may have: "text" always, and "image", "audio" and "video" where the bundle takes
   * them.
   */
  get inputs(): ModelInfo["inputs"] {
    return this.info.inputs;
  }

  /** The choices for `detail` of images and videos, in tokens, ascending. Empty where the model takes no images. */
  get details(): readonly ImageDetail[] {
    return this.info.details;
  }

  /**
   * Open a conversation. Several may be open; the model answers one after another.
   *
   * @throws UsageError for unknown options, invalid values and invalid messages
   */
  chat(options: ChatOptions = {}): Chat {
    checkChatOptions(options);
    return new Chat(this.#worker, this.info.model, options);
  }

  /**
   * Recompile one WGSL file of the bundle with `text`; weights and caches stay as they are. For development.
   *
   * @throws DeviceError where the text does not compile; the shader before stays
   */
  async swapShader(file: string, text: string): Promise<void> {
    await this.#worker.call("swapShader", { model: this.info.model, file, text });
  }

  /** Release the model. Its GPU memory is freed once no other user on the page has the bundle loaded. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    try {
      await this.#worker.call("unload", { model: this.info.model }, { brief: true });
    } catch (error) {
      // Other users of the worker get an error when it is ended.
      if (!(error instanceof Unanswered)) throw error;
    } finally {
      this.#release();
    }
  }

  /** The same as `dispose`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** Unload a model whose load was aborted. */
function unloadLate(worker: WorkerThread, late: Promise<unknown>): void {
  late
    .then((info) => worker.call("unload", { model: (info as ModelInfo).model }, { brief: true }))
    .catch(() => undefined);
}
