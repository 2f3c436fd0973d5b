/** Work on the device of an engine: one call at a time, until the device fails. */

import { causeOf, DeviceError, isTyped, type LostError, UsageError } from "../errors.ts";
import { kept, type OnStall, watched } from "../patience.ts";
import { deviceLost, lossOr, lost } from "./device.ts";

/** The state of a device, which the text model, its towers and a draft model share. */
export class GpuWork {
  /** Resolves, and never rejects, when the device is lost other than by `dispose`. */
  readonly lost: Promise<LostError>;
  /** Called repeatedly while the GPU does not answer, with the seconds so far. None by default. */
  stalled: OnStall | undefined;
  /** The first error of the device. Every later call throws it. */
  #failure: DeviceError | undefined;
  /** The name of the running call. */
  #call: string | undefined;

  constructor(readonly device: GPUDevice) {
    this.lost = deviceLost(device);
    void this.lost.then((error) => {
      this.#failure = error;
    });
  }

  /** Throws DeviceError after the device has failed, and UsageError while another call runs. call: its name, for errors. */
  refuse(call: string): void {
    if (this.#failure) throw this.#failure;
    if (this.#call) throw new UsageError(`${call} was called while ${this.#call} was going on. Await that first.`);
  }

  /** Begins a call. Returns the function that ends it. Throws as `refuse` does. */
  begin(call: string): () => void {
    this.refuse(call);
    this.#call = call;
    return () => {
      this.#call = undefined;
    };
  }

  /** Records submitted work, as a promise from `checked`. The result and later `settled` calls reject with its error. */
  submitted(work: Promise<unknown>): Promise<unknown> {
    const noted = work.catch(async (error: unknown) => {
      const failure = await lossOr(this.device, error instanceof DeviceError ? error : new DeviceError(causeOf(error)));
      this.#failure ??= failure;
      throw this.#failure;
    });
    return kept(noted);
  }

  /** Awaits work on the GPU. Throws DeviceError if this or earlier work failed. */
  async settled<T>(work: Promise<T> | undefined): Promise<T> {
    const value = await watched(Promise.resolve(work), this.stalled).catch(async (error: unknown) => {
      this.#failure ??= isTyped(error) ? (error as DeviceError) : await lossOr(this.device, lost(causeOf(error)));
      throw this.#failure;
    });
    if (this.#failure) throw this.#failure;
    return value as T;
  }

  /** Destroys the device with everything on it. Every later call throws DeviceError. */
  dispose(): void {
    this.#failure ??= new DeviceError("The engine was disposed of. Load the model again.");
    this.device.destroy();
  }
}
