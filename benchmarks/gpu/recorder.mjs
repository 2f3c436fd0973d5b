/**
 * GPU times of what the engine submits, by timestamp queries: of each dispatch, in a pass of its own, or of each pass.
 *
 * Passes of one dispatch do not overlap and each begins and ends on its own, so their sum is more than the pass of all
 * takes. Both are of use: the one says which kernel, the other what a step costs.
 */

/** Dispatches that can be recorded at once; two timestamps each, and a query set holds 4,096. */
const MAX_DISPATCHES = 2048;

export class Recorder {
  #device;
  #bound = new WeakMap();
  #queries;
  /** "dispatches", "passes", or undefined while nothing is recorded. */
  #mode;
  #found = [];

  /** Whether the GPU has timestamps. */
  get available() {
    return this.#device?.features.has("timestamp-query") ?? false;
  }

  /** Wraps a device, so that what is encoded on it can be recorded. The last one counts. */
  watch(device) {
    this.#device = device;
    const createBindGroup = device.createBindGroup.bind(device);
    device.createBindGroup = (descriptor) => {
      const group = createBindGroup(descriptor);
      const buffers = descriptor.entries.map(({ resource }) => resource.buffer?.label ?? "");
      this.#bound.set(group, { label: descriptor.label ?? "", buffers });
      return group;
    };
    const createCommandEncoder = device.createCommandEncoder.bind(device);
    device.createCommandEncoder = (descriptor) => this.#wrap(createCommandEncoder(descriptor));
  }

  #wrap(encoder) {
    if (!this.#mode) return encoder;
    const begin = encoder.beginComputePass.bind(encoder);
    encoder.beginComputePass = (descriptor) =>
      this.#mode === "passes" ? begin({ ...descriptor, ...this.#timed({}) }) : this.#split(begin);
    return encoder;
  }

  /** Return a substitute for a pass, which puts each dispatch into a pass of its own. */
  #split(begin) {
    let pipeline;
    let group;
    return {
      setPipeline: (next) => {
        pipeline = next;
      },
      setBindGroup: (_index, next) => {
        group = next;
      },
      dispatchWorkgroups: (x, y = 1, z = 1) => {
        const { label, buffers } = this.#bound.get(group);
        const pass = begin(this.#timed({ kernel: pipeline.label, label, buffers, grid: [x, y, z] }));
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(x, y, z);
        pass.end();
      },
      end: () => undefined,
    };
  }

  #timed(what) {
    const index = this.#found.length;
    if (index >= MAX_DISPATCHES) throw new Error(`More than ${MAX_DISPATCHES} dispatches were to be recorded at once.`);
    this.#found.push(what);
    const [beginningOfPassWriteIndex, endOfPassWriteIndex] = [2 * index, 2 * index + 1];
    return { timestampWrites: { querySet: this.#queries, beginningOfPassWriteIndex, endOfPassWriteIndex } };
  }

  /**
   * Records what `run` has the engine submit. mode: "dispatches", which gives { kernel, label, buffers, grid, us } of
   * each, or "passes", which gives { us } of each. buffers: the labels of the buffers that the dispatch binds.
   */
  async record(mode, run) {
    this.#queries ??= this.#device.createQuerySet({ type: "timestamp", count: 2 * MAX_DISPATCHES });
    this.#found = [];
    this.#mode = mode;
    try {
      await run();
    } finally {
      this.#mode = undefined;
    }
    const times = await this.#times(this.#found.length);
    return this.#found.map((what, index) => ({ ...what, us: times[index] }));
  }

  /** Microseconds of the first `count` passes. */
  async #times(count) {
    if (count === 0) return [];
    const size = 2 * 8 * count;
    const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
    const resolved = this.#device.createBuffer({ size, usage });
    const read = this.#device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    const encoder = this.#device.createCommandEncoder();
    encoder.resolveQuerySet(this.#queries, 0, 2 * count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, read, 0, size);
    this.#device.queue.submit([encoder.finish()]);
    await read.mapAsync(GPUMapMode.READ);
    const stamps = new BigInt64Array(read.getMappedRange().slice(0));
    for (const buffer of [resolved, read]) buffer.destroy();
    return Array.from({ length: count }, (_, index) => Number(stamps[2 * index + 1] - stamps[2 * index]) / 1000);
  }
}
