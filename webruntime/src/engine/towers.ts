/** The towers of a bundle. Their plans are read with that of the text model; the rest is loaded when first needed. */

import type { Bundle } from "../bundle/bundle.ts";
import { ENCODE } from "../bundle/facts.gen.ts";
import type { Plan } from "../bundle/plan.gen.ts";
import { BundleError, DeviceError, UsageError } from "../errors.ts";
import type { LoadOptions, TowerName } from "../messages.ts";
import { choosePlan } from "./choose-plan.ts";
import { requiredLimits, tooSmall } from "./device.ts";
import { loadPlan } from "./load-plan.ts";
import { rowBytesOf, TOWER_NAMES, Tower } from "./tower.ts";
import type { GpuWork } from "./work.ts";

const NAMES: readonly TowerName[] = ["image", "audio"];

/** The plans of a bundle's towers. */
export type TowerPlans = Partial<Record<TowerName, Plan>>;

/** Reads the first plan of each tower whose features the adapter has. Throws DeviceError if none fits, and BundleError. */
export async function readTowerPlans(
  bundle: Bundle,
  adapter: Pick<GPUAdapter, "features">,
  signal: AbortSignal | undefined,
): Promise<TowerPlans> {
  const plans: TowerPlans = {};
  const read = async (name: TowerName) => {
    const entries = bundle.manifest.towers[name];
    if (entries.length > 0) plans[name] = await bundle.plan(choosePlan(entries, adapter).file, signal);
  };
  await Promise.all(NAMES.map(read));
  return plans;
}

/** Throws BundleError if a tower's rows do not fit the text model. */
export function checkRows(plans: TowerPlans, text: Plan): void {
  const media = Object.values(text.buffers).find((buffer) => buffer.kind === "control" && buffer.role === "media");
  const taken = media?.kind === "control" ? media.bytes / (text.programs.fill?.max_tokens ?? 1) : 0;
  for (const plan of Object.values(plans)) {
    const made = rowBytesOf(plan);
    if (made === taken) continue;
    throw new BundleError(
      `A tower of this bundle makes rows of ${made} bytes, but its text model takes ${taken}. Export it again.`,
    );
  }
}

/** The towers of a bundle on the engine's device. The first `get` loads a tower. */
export class Towers {
  readonly #loaded = new Map<TowerName, Promise<Tower>>();
  #bytes = 0;

  /** @param work the work of the engine, so that rows stay on its GPU */
  constructor(
    private readonly work: GpuWork,
    private readonly bundle: Bundle,
    private readonly plans: TowerPlans,
  ) {}

  /** By tower: the most soft tokens of one image or segment of audio. */
  get tokens(): Partial<Record<TowerName, number>> {
    return Object.fromEntries(Object.entries(this.plans).map(([name, plan]) => [name, plan.context]));
  }

  /** GPU bytes of the loaded towers while they do not encode. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The loaded tower of that name: see `TextEngine.tower`. After an error, the next call tries again. */
  get(name: TowerName, options: Omit<LoadOptions, "context">): Promise<Tower> {
    const loaded = this.#loaded.get(name) ?? this.#load(name, options);
    this.#loaded.set(name, loaded);
    loaded.catch(() => this.#loaded.delete(name));
    return loaded;
  }

  /** Recompiles the kernels of a WGSL file in the loaded towers. Throws DeviceError; the old ones stay then. */
  async swapShader(file: string, text: string): Promise<void> {
    for (const tower of this.#loaded.values()) await (await tower).runner.pipelines.swap(file, text);
  }

  async #load(name: TowerName, options: Omit<LoadOptions, "context">): Promise<Tower> {
    const { signal, onProgress = () => undefined } = options;
    const plan = this.plans[name];
    if (!plan) throw new UsageError(`This bundle was exported without ${TOWER_NAMES[name]}.`);
    const lacking = tooSmall(this.work.device.limits, requiredLimits(plan, plan.context));
    if (lacking) {
      throw new DeviceError(`This GPU is too small for ${TOWER_NAMES[name]}: ${lacking}. Text goes on working.`);
    }
    onProgress({ stage: "download", loaded: 0, total: 0, bytesPerSecond: 0 });
    const runner = await loadPlan(this.work, this.bundle, plan, {
      name: TOWER_NAMES[name],
      programs: [ENCODE],
      signal,
      onProgress,
    });
    const { weights, scratch } = runner.memory;
    this.#bytes += weights + scratch;
    return new Tower(name, runner);
  }
}
