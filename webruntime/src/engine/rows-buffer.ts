/** Rows of embeddings of an image or of audio. */

import type { MediaRows } from "./interface.ts";

/** Rows of embeddings in a GPU buffer of their own. */
export class RowsBuffer implements MediaRows {
  /** The GPU buffer. */
  readonly buffer: GPUBuffer;

  /**
   * Issues a WebGPU call that may fail: call within error scopes.
   *
   * @param tokens the number of rows
   * @param rowBytes bytes of a row
   */
  constructor(
    device: GPUDevice,
    label: string,
    readonly tokens: number,
    readonly rowBytes: number,
  ) {
    const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    this.buffer = device.createBuffer({ label, size: tokens * rowBytes, usage });
  }

  /** GPU bytes of the rows. */
  get bytes(): number {
    return this.buffer.size;
  }

  /** Releases the memory. */
  dispose(): void {
    this.buffer.destroy();
  }
}
