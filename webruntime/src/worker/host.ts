/** Implements the protocol in the worker: models by address, and their sessions. */

import { brief } from "../brief.ts";
import { bundleAddress } from "../bundle/address.ts";
import type { ChatModel, ChatSession } from "../chat/interface.ts";
import { openChat } from "../chat/model.ts";
import { oneAtATime } from "../chat/turns.ts";
import { TextEngine } from "../engine/text-engine.ts";
import { BundleError, toRecord, typed, UsageError } from "../errors.ts";
import { unlessAborted } from "../patience.ts";
import { mediaPart } from "./media-part.ts";
import { previewBundle } from "./preview.ts";
import type { LoadRequest, Methods, ModelInfo } from "./protocol.ts";
import type { Call, Handlers } from "./transport.ts";

interface Model {
  info: ModelInfo;
  /** Identifies the bundle: loads of the same bundle share it. */
  identity: string;
  engine: TextEngine;
  chat: ChatModel;
  /** The number of loads that are not unloaded yet. */
  users: number;
}

type Loaded = Pick<Model, "identity" | "engine"> & Pick<LoadRequest, "mediaUrl">;
type LoadCall = Call<Methods["load"]["event"]>;

/** The worker's models and sessions. */
export class Host {
  readonly #models = new Map<number, Model>();
  readonly #sessions = new Map<number, { model: number; session: ChatSession }>();
  /** Loads run one after another, so that two loads of one address share a model. */
  readonly #loads = oneAtATime();
  #numbers = 0;

  /** The handlers of the protocol's methods. */
  readonly handlers: Handlers<Methods> = {
    preview: (request, { signal }) => previewBundle(request, signal).catch(unreadable(request.url)),
    load: (request, call) => this.#loads(() => this.#load(request, call).catch(unreadable(request.url)), call.signal),
    lost: async ({ model }) => toRecord(await this.#model(model).engine.lost),
    swapShader: async ({ model, file, text }) => {
      await this.#model(model).engine.swapShader(file, text);
      return null;
    },
    unload: async ({ model }) => {
      this.#unload(model);
      return null;
    },
    openSession: async ({ model, ...options }) => {
      const session = this.#numbers++;
      this.#sessions.set(session, { model, session: this.#model(model).chat.open(options) });
      return { session };
    },
    send: async ({ session, ...options }, call) => this.#session(session).send(options, call),
    setMessages: async ({ session, messages, thinking }) => {
      this.#session(session).setMessages(messages, thinking);
      return null;
    },
    closeSession: async ({ session }) => {
      this.#session(session).dispose();
      this.#sessions.delete(session);
      return null;
    },
  };

  async #load({ url, mediaUrl, ...options }: LoadRequest, { signal, emit }: LoadCall): Promise<ModelInfo> {
    const { context, plan } = options;
    const { identity } = bundleAddress(url);
    const shared = [...this.#models.values()].find((model) => model.identity === identity);
    if (shared) {
      if (context !== undefined && context !== shared.info.context) {
        throw new UsageError(
          `${url} is loaded with a context of ${shared.info.context}; it cannot be loaded with ${context} too.`,
        );
      }
      const { activation } = shared.info.stats;
      if (plan !== undefined && plan !== "auto" && plan !== activation) {
        throw new UsageError(`${url} is loaded with its ${activation} plan; it cannot be loaded with ${plan} too.`);
      }
      shared.users++;
      return shared.info;
    }
    const engine = await TextEngine.load(url, { ...options, signal, onProgress: emit });
    try {
      return await this.#add({ identity, engine, mediaUrl }, signal);
    } catch (error) {
      engine.dispose();
      throw error;
    }
  }

  async #add({ identity, engine, mediaUrl }: Loaded, signal: AbortSignal): Promise<ModelInfo> {
    const opening = openChat(engine, mediaPart(mediaUrl, engine.files));
    const [chat, parity] = await unlessAborted(Promise.all([opening, engine.files.parity(signal)]), signal);
    const { url, manifest } = engine.files;
    const { context, adapter, stats } = engine;
    const { sampling, inputs, details } = chat;
    const model = this.#numbers++;
    const info = { model, url, manifest, parity, context, adapter, stats, sampling, inputs, details };
    this.#models.set(model, { info, identity, engine, chat, users: 1 });
    // A later load of the address must not join a model whose GPU is lost. The model's sessions stay, and throw the
    // engine's own error.
    void engine.lost.then(() => this.#models.delete(model));
    return info;
  }

  #unload(model: number): void {
    const loaded = this.#models.get(model);
    if (!loaded || --loaded.users > 0) return;
    this.#models.delete(model);
    for (const [number, entry] of this.#sessions) if (entry.model === model) this.#sessions.delete(number);
    loaded.engine.dispose();
  }

  #model(model: number): Model {
    const found = this.#models.get(model);
    if (!found) throw new UsageError(`Model ${model} is not loaded any more. Load it again.`);
    return found;
  }

  #session(session: number): ChatSession {
    const found = this.#sessions.get(session);
    if (!found) throw new UsageError(`Session ${session} is not open any more. Open another.`);
    return found.session;
  }
}

/** Return a handler that blames the bundle for unexpected errors: other bundles are readable. */
function unreadable(url: string): (error: unknown) => never {
  return (error) => {
    throw typed(error, (cause) => {
      return new BundleError(`The bundle at ${brief(url, 160)} cannot be read (${cause}). Export it again.`);
    });
  };
}
