/** Carries typed calls, with events and abort, over a message port. */

import { AbortError, causeOf, fromRecord, throwIfAborted, toRecord, UsageError } from "../errors.ts";
import type { Method, PageMessage, WorkerMessage } from "./protocol.ts";

/** The common interface of a Worker, a worker's own scope and a MessagePort. */
export interface Port {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
}

/**
 * The context of a handler's call: the signal, and a function that emits events. Events can transfer buffers instead of
 * copying them.
 */
export interface Call<Event> {
  signal: AbortSignal;
  emit(event: Event, transfer?: Transferable[]): void;
}

type MethodMap = Record<string, Method>;

/** The handlers of all methods. */
export type Handlers<Methods extends MethodMap> = {
  [Name in keyof Methods]: (
    request: Methods[Name]["request"],
    call: Call<Methods[Name]["event"]>,
  ) => Promise<Methods[Name]["result"]>;
};

/** The options of a call. */
export interface CallOptions<Event> {
  signal?: AbortSignal | undefined;
  onEvent?: ((event: Event) => void) | undefined;
  transfer?: Transferable[] | undefined;
}

/** The page's function for calls: `remote("send", request, { onEvent, signal })`. */
export type Remote<Methods extends MethodMap> = <Name extends keyof Methods & string>(
  method: Name,
  request: Methods[Name]["request"],
  options?: CallOptions<Methods[Name]["event"]>,
) => Promise<Methods[Name]["result"]>;

/** Handle the calls that arrive on `port`, after a first message. */
export function serve<Methods extends MethodMap>(port: Port, handlers: Handlers<Methods>): void {
  const running = new Map<number, AbortController>();
  const post = (message: WorkerMessage, transfer: Transferable[] = []) => port.postMessage(message, transfer);

  const answer = async (message: Extract<PageMessage, { type: "call" }>) => {
    const { call, method, request } = message;
    const controller = new AbortController();
    running.set(call, controller);
    try {
      const handler = Object.hasOwn(handlers, method) ? handlers[method] : undefined;
      if (!handler) throw new UsageError(`The worker has no method "${method}".`);
      const emit = (event: unknown, transfer?: Transferable[]) => post({ type: "event", call, event }, transfer);
      const result = await handler(request, { signal: controller.signal, emit });
      post({ type: "result", call, result });
    } catch (error) {
      post({ type: "error", call, error: toRecord(error) });
    } finally {
      running.delete(call);
    }
  };

  port.addEventListener("message", ({ data }: MessageEvent<PageMessage>) => {
    if (data.type === "ping") post({ type: "here" });
    else if (data.type === "abort") running.get(data.call)?.abort(new AbortError("Stopped at the caller's request."));
    else void answer(data);
  });
  // The page waits for this first message.
  post({ type: "here" });
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
  onEvent: ((event: never) => void) | undefined;
  release(): void;
}

/** Return a function that calls the methods that `serve` handles at the other end of `port`. */
export function connect<Methods extends MethodMap>(port: Port): Remote<Methods> {
  const pending = new Map<number, Pending>();
  let calls = 0;

  port.addEventListener("message", ({ data }: MessageEvent<WorkerMessage>) => {
    const waiting = data.type === "here" ? undefined : pending.get(data.call);
    if (!waiting || data.type === "here") return;
    if (data.type === "event") {
      waiting.onEvent?.(data.event as never);
      return;
    }
    pending.delete(data.call);
    waiting.release();
    if (data.type === "result") waiting.resolve(data.result);
    else waiting.reject(fromRecord(data.error));
  });

  return async (method, request, options = {}) => {
    const { signal, onEvent, transfer = [] } = options;
    throwIfAborted(signal);
    const call = calls++;
    const post = (message: PageMessage) => port.postMessage(message, transfer);
    const abort = () => port.postMessage({ type: "abort", call } satisfies PageMessage, []);
    return new Promise((resolve, reject) => {
      const release = () => signal?.removeEventListener("abort", abort);
      pending.set(call, { resolve: resolve as (result: unknown) => void, reject, onEvent, release });
      signal?.addEventListener("abort", abort);
      try {
        post({ type: "call", call, method, request });
      } catch (error) {
        pending.delete(call);
        release();
        reject(
          new UsageError(`The arguments cannot be sent to gemtab's worker (${causeOf(error)}). Use plain objects.`),
        );
      }
    });
  };
}
