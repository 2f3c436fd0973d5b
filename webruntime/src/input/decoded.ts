/** A value that takes long to decode and much memory: made when first needed, kept until released. */

export class Decoded<Value> {
  readonly #decode: (signal: AbortSignal | undefined) => Promise<Value>;
  #value: Promise<Value> | undefined;

  constructor(decode: (signal: AbortSignal | undefined) => Promise<Value>) {
    this.#decode = decode;
  }

  /** Return the value; decode it where it is not kept. Throws the decoder's error. */
  get(signal: AbortSignal | undefined): Promise<Value> {
    this.#value ??= this.#decode(signal).catch((error: unknown) => {
      this.#value = undefined;
      throw error;
    });
    return this.#value;
  }

  /** Release the value. */
  release(): void {
    this.#value = undefined;
  }
}
