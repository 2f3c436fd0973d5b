/** Rows of embeddings of an image or of audio, on the GPU. */

import type { MediaRows } from "./interface.ts";

/** Rows in a GPU buffer of their own. rowBytes: bytes of one row. */
export class RowsBuffer implements MediaRows {
  readonly buffer: GPUBuffer;

  /** Issues a WebGPU call that may fail: call within error scopes. */
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

  /** Gives the memory back. */
  dispose(): void {
    this.buffer.destroy();
  }
}
