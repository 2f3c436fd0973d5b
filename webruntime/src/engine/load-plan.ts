/** Puts a plan onto the GPU. */

import type { Bundle } from "../bundle/bundle.ts";
import type { Plan } from "../bundle/plan.gen.ts";
import { AbortError, throwIfAborted } from "../errors.ts";
import type { LoadProgress } from "../messages.ts";
import { watched } from "../patience.ts";
import { PlanBuffers } from "./buffers.ts";
import { Caches } from "./caches.ts";
import { checked } from "./device.ts";
import type { HostTables } from "./host-table.ts";
import { Pipelines } from "./pipelines.ts";
import { PlanRunner } from "./runner.ts";
import { uploadWeights } from "./weights.ts";
import type { GpuWork } from "./work.ts";

export interface PlanLoadOptions {
  /** The plan's model in words, for errors: "the model". */
  name: string;
  /** The caches that the plan runs on; new ones for the plan's whole context by default. */
  caches?: Caches | undefined;
  /** Look-up tables that stay on the host; by default they are uploaded like all weights. */
  hostTables?: HostTables | undefined;
  /** The programs that will run; kernels of others are not compiled. */
  programs: readonly string[];
  /** Allocates before anything is downloaded; by default only weights and control buffers are allocated then. */
  allocate?: (buffers: PlanBuffers) => Promise<void>;
  signal: AbortSignal | undefined;
  onProgress(progress: LoadProgress): void;
}

/**
 * Allocates first, so that what does not fit costs no download; then compiles the pipelines while the weights come in.
 * The first that fails stops the other, and gives the memory back.
 *
 * Throws BundleError where a file is not as the manifest says or the plan needs other caches, DeviceError, and AbortError.
 */
export async function loadPlan(
  work: GpuWork,
  bundle: Bundle,
  plan: Plan,
  { name, caches, hostTables, programs, allocate, signal, onProgress }: PlanLoadOptions,
): Promise<PlanRunner> {
  throwIfAborted(signal);
  const { device } = work;
  const stop = new AbortController();
  const both = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const state = caches ?? new Caches(device, plan, plan.context);
  state.check(plan);
  const tables = hostTables ? "host" : "gpu";
  const buffers = new PlanBuffers(device, plan, tables, state);
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
    return new PlanRunner(work, plan, state, buffers, pipelines);
  } catch (error) {
    stop.abort(new AbortError("Loading failed."));
    buffers.dispose();
    throw error;
  }
}
