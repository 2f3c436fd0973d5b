/** The work of one engine on its device: one call at a time, until the device fails. */

import { causeOf, DeviceError, isTyped, type LostError, UsageError } from "../errors.ts";
import { kept, type OnStall, watched } from "../patience.ts";
import { deviceLost, lossOr, lost } from "./device.ts";

/** Shared by all that run on the device: the text model, its towers, a draft model. */
export class GpuWork {
  /** Resolves, and never rejects, when the device is lost other than by `dispose`. */
  readonly lost: Promise<LostError>;
  /** Called with the seconds for which the GPU has not answered, again and again. Nobody is told by default. */
  stalled: OnStall | undefined;
  /** The first error by which the device failed. Every later call throws this error. */
  #failure: DeviceError | undefined;
  /** The name of the call that is under way. */
  #call: string | undefined;

  constructor(readonly device: GPUDevice) {
    this.lost = deviceLost(device);
    void this.lost.then((error) => {
      this.#failure = error;
    });
  }

  /** Throws DeviceError once the device has failed, and UsageError while another call is under way. */
  refuse(call: string): void {
    if (this.#failure) throw this.#failure;
    if (this.#call) throw new UsageError(`${call} was called while ${this.#call} was going on. Await that first.`);
  }

  /** Begins a call, and returns the function that ends it. Throws what `refuse` does. */
  begin(call: string): () => void {
    this.refuse(call);
    this.#call = call;
    return () => {
      this.#call = undefined;
    };
  }

  /** Takes note of work that was submitted, given as what `checked` returns. The result and `settled` reject with its error. */
  submitted(work: Promise<unknown>): Promise<unknown> {
    const noted = work.catch(async (error: unknown) => {
      const failure = await lossOr(this.device, error instanceof DeviceError ? error : new DeviceError(causeOf(error)));
      this.#failure ??= failure;
      throw this.#failure;
    });
    return kept(noted);
  }

  /** The value of work on the GPU. Throws the DeviceError by which this work, or work before it, failed. */
  async settled<T>(work: Promise<T> | undefined): Promise<T> {
    const value = await watched(Promise.resolve(work), this.stalled).catch(async (error: unknown) => {
      this.#failure ??= isTyped(error) ? (error as DeviceError) : await lossOr(this.device, lost(causeOf(error)));
      throw this.#failure;
    });
    if (this.#failure) throw this.#failure;
    return value as T;
  }

  /** Destroys the device and all that lies on it. Every later call throws DeviceError. */
  dispose(): void {
    this.#failure ??= new DeviceError("The engine was disposed of. Load the model again.");
    this.device.destroy();
  }
}
