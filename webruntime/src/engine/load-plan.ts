/** Loads a plan onto the GPU. */

import type { Bundle } from "../bundle/bundle.ts";
import type { Plan } from "../bundle/plan.gen.ts";
import { AbortError, throwIfAborted } from "../errors.ts";
import type { LoadProgress } from "../messages.ts";
import { watched } from "../patience.ts";
import { PlanBuffers } from "./buffers.ts";
import { Caches } from "./caches.ts";
import { checked } from "./device.ts";
import type { HostEmbeddings } from "./host-embeddings.ts";
import { Pipelines } from "./pipelines.ts";
import { PlanRunner } from "./runner.ts";
import { uploadWeights } from "./weights.ts";
import type { GpuWork } from "./work.ts";

/** Options of `loadPlan`. */
export interface PlanLoadOptions {
  /** The plan's model in words, for errors, such as "the model". */
  name: string;
  /** The caches that the plan runs on; by default new ones for the plan's whole context. */
  caches?: Caches | undefined;
  /** Per-layer embeddings on the host; by default they are uploaded like all weights. */
  hostEmbeddings?: HostEmbeddings | undefined;
  /** The programs that will run. Kernels of other programs are not compiled. */
  programs: readonly string[];
  /** Allocates more before the download; by default only weights and control buffers are allocated. */
  allocate?: (buffers: PlanBuffers) => Promise<void>;
  /** Stops loading, which then throws AbortError. */
  signal: AbortSignal | undefined;
  /** Called for each stage, and during the download. */
  onProgress(progress: LoadProgress): void;
}

/**
 * Loads a plan. Allocates before the download, so that a model that does not fit costs no download. Compiles the pipelines
 * while the weights arrive. An error of either stops the other, and releases the memory.
 *
 * @throws BundleError for an altered file or a plan that needs other caches, DeviceError, OutOfMemoryError and AbortError
 */
export async function loadPlan(
  work: GpuWork,
  bundle: Bundle,
  plan: Plan,
  { name, caches, hostEmbeddings, programs, allocate, signal, onProgress }: PlanLoadOptions,
): Promise<PlanRunner> {
  throwIfAborted(signal);
  const { device } = work;
  const stop = new AbortController();
  const both = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const state = caches ?? new Caches(device, plan, plan.context);
  state.check(plan);
  const embeddings = hostEmbeddings ? "host" : "gpu";
  const buffers = new PlanBuffers(device, plan, embeddings, state);
  let last: LoadProgress = { stage: "download", loaded: 0, total: 0, bytesPerSecond: 0 };
  const report = (progress: LoadProgress) => {
    last = progress;
    onProgress(progress);
  };
  const upload = async () => {
    const wanted = [...buffers.weightTargets(), ...(hostEmbeddings?.targets() ?? [])];
    const onStall = (stalled: number) => onProgress({ ...last, stalled });
    await uploadWeights(device, bundle, wanted, { signal: both, onProgress: report, onStall });
    await hostEmbeddings?.finish();
    report({ ...last, stage: "compile" });
  };
  try {
    await checked(device, `${name}'s buffers`, () => buffers.allocate());
    await allocate?.(buffers);
    const compiling = Pipelines.create(device, plan, programs, (file) => bundle.text(file, both));
    const uploading = upload();
    const compiled = uploading.then(() => watched(compiling, (stalled) => onProgress({ ...last, stalled })));
    const [pipelines] = await Promise.all([compiling, uploading, compiled]);
    throwIfAborted(signal);
    report({ ...last, stage: "ready" });
    return new PlanRunner(work, plan, state, buffers, pipelines);
  } catch (error) {
    stop.abort(new AbortError("Loading failed."));
    buffers.dispose();
    throw error;
  }
}
