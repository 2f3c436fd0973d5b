/** Putting a plan onto the GPU. */

import type { Bundle } from "../bundle/bundle.ts";
import type { Plan } from "../bundle/plan.gen.ts";
import { AbortError, throwIfAborted } from "../errors.ts";
import type { LoadProgress } from "../messages.ts";
import { watched } from "../patience.ts";
import { PlanBuffers } from "./buffers.ts";
import { checked } from "./device.ts";
import type { HostTables } from "./host-table.ts";
import { Pipelines } from "./pipelines.ts";
import { uploadWeights } from "./weights.ts";

export interface LoadedPlan {
  buffers: PlanBuffers;
  pipelines: Pipelines;
}

export interface PlanLoadOptions {
  /** What is loaded, for messages: "the model". */
  name: string;
  /** Tokens that the caches hold. */
  context: number;
  /** Look-up tables that stay on the host; without them they are uploaded like all weights. */
  hostTables?: HostTables | undefined;
  /** The programs that will run; kernels of others are not compiled. */
  programs: readonly string[];
  /** Allocates what else is needed before anything is downloaded. */
  allocate?: (buffers: PlanBuffers) => Promise<void>;
  signal: AbortSignal | undefined;
  onProgress(progress: LoadProgress): void;
}

/**
 * Allocates first, so that what does not fit costs no download; then compiles the pipelines while the weights come in.
 * The first that fails stops the other, and gives the memory back.
 */
export async function loadPlan(
  device: GPUDevice,
  bundle: Bundle,
  plan: Plan,
  { name, context, hostTables, programs, allocate, signal, onProgress }: PlanLoadOptions,
): Promise<LoadedPlan> {
  throwIfAborted(signal);
  const stop = new AbortController();
  const both = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const tables = hostTables ? "host" : "gpu";
  const buffers = new PlanBuffers(device, plan, context, tables);
  let last: LoadProgress = { stage: "download", loaded: 0, total: 0, bytesPerSecond: 0 };
  const tell = (progress: LoadProgress) => {
    last = progress;
    onProgress(progress);
  };
  const upload = async () => {
    const wanted = [...buffers.weightTargets(), ...(hostTables?.targets() ?? [])];
    const onStall = (stalled: number) => onProgress({ ...last, stalled });
    await uploadWeights(device, bundle, wanted, { signal: both, onProgress: tell, onStall });
    await hostTables?.finish();
    tell({ ...last, stage: "compile" });
  };
  try {
    await checked(device, `${name}'s buffers`, () => buffers.allocate());
    await allocate?.(buffers);
    const compiling = Pipelines.create(device, plan, programs, (file) => bundle.text(file, both));
    const uploading = upload();
    const compiled = uploading.then(() => watched(compiling, (stalled) => onProgress({ ...last, stalled })));
    const [pipelines] = await Promise.all([compiling, uploading, compiled]);
    throwIfAborted(signal);
    tell({ ...last, stage: "ready" });
    return { buffers, pipelines };
  } catch (error) {
    stop.abort(new AbortError("Loading failed."));
    buffers.dispose();
    throw error;
  }
}
