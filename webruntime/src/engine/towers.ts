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

/**
 * Read, for each tower, the first plan whose features the adapter has. Throws DeviceError for a tower without such a
 * plan, and as `bundle.plan` does.
 */
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

/** Check that the towers' rows have the length that the text model reads. Throws BundleError. */
export function checkRows(plans: TowerPlans, text: Plan): void {
  const media = Object.values(text.buffers).find((buffer) => buffer.kind === "control" && buffer.role === "media");
  const expected = media?.kind === "control" ? media.bytes / (text.programs.fill?.max_tokens ?? 1) : 0;
  for (const plan of Object.values(plans)) {
    const rowBytes = rowBytesOf(plan);
    if (rowBytes === expected) continue;
    throw new BundleError(
      `A tower of this bundle makes rows of ${rowBytes} bytes, but its text model takes ${expected}. Export it again.`,
    );
  }
}

/** The towers of a bundle on the engine's device. The first `get` of a tower loads the tower. */
export class Towers {
  readonly #loaded = new Map<TowerName, Promise<Tower>>();
  #bytes = 0;

  /** @param work the engine's own: a tower's rows stay on the GPU of the text model */
  constructor(
    private readonly work: GpuWork,
    private readonly bundle: Bundle,
    private readonly plans: TowerPlans,
  ) {}

  /** The largest number of soft tokens of one image or segment of audio, by tower. */
  get tokens(): Partial<Record<TowerName, number>> {
    return Object.fromEntries(Object.entries(this.plans).map(([name, plan]) => [name, plan.context]));
  }

  /** GPU bytes of the loaded towers while they do not encode. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Return a loaded tower: see `TextEngine.tower`. After an error, the next call loads the tower again. */
  get(name: TowerName, options: Omit<LoadOptions, "context">): Promise<Tower> {
    const loaded = this.#loaded.get(name) ?? this.#load(name, options);
    this.#loaded.set(name, loaded);
    loaded.catch(() => this.#loaded.delete(name));
    return loaded;
  }

  /** Recompile the kernels of a WGSL file in the loaded towers. Throws DeviceError; the old kernels stay then. */
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
