/** Copies of ring caches. */

import type { Mark } from "./cache-position.ts";
import type { Snapshot } from "./interface.ts";

/** A copy of the ring caches, on the GPU, and the position of the caches. */
export class RingSnapshot implements Snapshot {
  readonly #copies: { ring: GPUBuffer; copy: GPUBuffer }[];

  /**
   * Copies `rings`. Issues WebGPU calls that may fail: call within error scopes.
   *
   * @param mark the position of the caches
   */
  constructor(
    device: GPUDevice,
    rings: readonly GPUBuffer[],
    readonly mark: Mark,
  ) {
    const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    this.#copies = rings.map((ring) => {
      const label = `${ring.label} at ${mark.position}`;
      return { ring, copy: device.createBuffer({ label, size: ring.size, usage }) };
    });
    this.#encode(device, (encoder, ring, copy) => encoder.copyBufferToBuffer(ring, 0, copy, 0, ring.size));
  }

  /** Copies the contents back into the rings. */
  copyBack(device: GPUDevice): void {
    this.#encode(device, (encoder, ring, copy) => encoder.copyBufferToBuffer(copy, 0, ring, 0, ring.size));
  }

  #encode(device: GPUDevice, copyRing: (encoder: GPUCommandEncoder, ring: GPUBuffer, copy: GPUBuffer) => void): void {
    const encoder = device.createCommandEncoder({ label: `snapshot at ${this.position}` });
    for (const { ring, copy } of this.#copies) copyRing(encoder, ring, copy);
    device.queue.submit([encoder.finish()]);
  }

  /** Tokens in the caches when the copy was made. */
  get position(): number {
    return this.mark.position;
  }

  /** GPU bytes of the copies. */
  get bytes(): number {
    return this.#copies.reduce((sum, { copy }) => sum + copy.size, 0);
  }

  /** Releases the memory. */
  dispose(): void {
    for (const { copy } of this.#copies) copy.destroy();
  }
}
