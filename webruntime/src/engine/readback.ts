/** Reads GPU buffers: copies are encoded now, and their values are awaited later. */

const WORD = 4;

/** A ring of staging buffers of one word each. At most `size` reads may be pending. */
export class WordReadback {
  readonly #staging: GPUBuffer[] = [];
  #reads = 0;

  /** @param size most pending reads */
  constructor(
    device: GPUDevice,
    readonly size: number,
  ) {
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    for (let index = 0; index < size; index++) {
      this.#staging.push(device.createBuffer({ label: `staging ${index}`, size: WORD, usage }));
    }
  }

  /** Encodes the copy of the word at byte `offset`. Call the returned function after the submit to get the word. */
  encode(encoder: GPUCommandEncoder, source: GPUBuffer, offset: number): () => Promise<number> {
    const staging = this.#staging[this.#reads++ % this.size] as GPUBuffer;
    encoder.copyBufferToBuffer(source, offset, staging, 0, WORD);
    return async () => {
      await staging.mapAsync(GPUMapMode.READ);
      const word = new Uint32Array(staging.getMappedRange())[0] as number;
      staging.unmap();
      return word;
    };
  }
}

/** The first `bytes` bytes of a buffer, as f32, after all submitted work. */
export async function readFloats(device: GPUDevice, source: GPUBuffer, bytes: number): Promise<Float32Array> {
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const staging = device.createBuffer({ label: "readback", size: bytes, usage });
  const encoder = device.createCommandEncoder({ label: "readback" });
  encoder.copyBufferToBuffer(source, 0, staging, 0, bytes);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const floats = new Float32Array(staging.getMappedRange().slice(0));
  staging.destroy();
  return floats;
}
