/** Puts a text model onto the GPU: which plan, where its tables lie, and another try where there is no room. */

import { Bundle } from "../bundle/bundle.ts";
import { chooseTables } from "../bundle/memory.ts";
import type { Plan, Program } from "../bundle/plan.gen.ts";
import { planMemory } from "../bundle/plan-memory.ts";
import { ShortageError, throwIfAborted, UsageError } from "../errors.ts";
import type { AdapterSummary, GpuHistory, LoadOptions, LoadProgress } from "../messages.ts";
import { unlessAborted } from "../patience.ts";
import { describeAdapter, openAdapter } from "./adapter.ts";
import type { PlanBuffers } from "./buffers.ts";
import { Caches } from "./caches.ts";
import { choosePlan } from "./choose-plan.ts";
import { checked, lossOr, openDevice, requiredLimits, unanswered } from "./device.ts";
import { HostTables, openTableStorage } from "./host-table.ts";
import { loadPlan } from "./load-plan.ts";
import { boundAt } from "./program.ts";
import { TEXT_PROGRAMS, TextRunner } from "./text-runner.ts";
import { checkRows, readTowerPlans, type TowerPlans } from "./towers.ts";
import { GpuWork } from "./work.ts";

/** A bundle's text model on the GPU, and the plans of its towers. */
export interface LoadedText {
  bundle: Bundle;
  adapter: AdapterSummary;
  text: TextRunner;
  towers: TowerPlans;
}

export interface EngineLoadOptions extends LoadOptions {
  /** Where adapters come from; the browser's own by default. */
  gpu?: GPU | undefined;
  /** The losses of its GPU that the page saw before; none by default. */
  history?: GpuHistory | undefined;
}

/** The parts of a model that are known before a device is opened. */
interface Chosen {
  bundle: Bundle;
  plan: Plan;
  towers: TowerPlans;
  context: number;
  history: GpuHistory | undefined;
}

/** How a text plan is loaded. */
export interface TextPlanOptions {
  /** The caches that the plan runs on; a draft model is given its target's. */
  caches: Caches;
  /** Look-up tables that stay on the host; by default they are uploaded like all weights. */
  hostTables?: HostTables | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/** Loads the bundle at `url`. Throws what TextEngine.load does. */
export async function loadText(url: string, options: EngineLoadOptions): Promise<LoadedText> {
  const { signal, history, onProgress = () => undefined } = options;
  onProgress({ stage: "manifest", loaded: 0, total: 0, bytesPerSecond: 0 });
  throwIfAborted(signal);
  const bundle = await Bundle.open(url, signal);
  const gpu = options.gpu ?? globalThis.navigator?.gpu;
  const adapter = await unlessAborted(openAdapter(gpu, history), signal);
  const chosen = choosePlan(bundle.plans, adapter, options.plan);
  const [plan, towers] = await Promise.all([bundle.plan(chosen.file, signal), readTowerPlans(bundle, adapter, signal)]);
  checkRows(towers, plan);
  const entry = { ...chosen, memory: planMemory(plan) };
  const context = chooseContext(plan, options.context);
  const storage = await openTableStorage();
  const model = { bundle, plan, towers, context, history };
  let downloaded = false;
  const tell = (progress: LoadProgress) => {
    downloaded ||= progress.loaded > 0;
    onProgress(progress);
  };
  const shortages: ShortageError[] = [];
  for (const tables of chooseTables(entry, context, options, storage !== undefined)) {
    // An adapter gives one device only.
    const fresh = shortages.length === 0 ? adapter : await openAdapter(gpu, history);
    try {
      return await openText(model, fresh, tables === "host" ? storage : undefined, signal, tell);
    } catch (error) {
      // What was downloaded would be downloaded again.
      if (!(error instanceof ShortageError) || downloaded) throw error;
      shortages.push(error);
    }
  }
  throw noRoom(shortages);
}

function chooseContext(plan: Plan, asked: number | undefined): number {
  if (asked === undefined) return plan.context;
  const least = Math.max(...Object.values(plan.programs).map((program) => program.max_tokens));
  if (Number.isInteger(asked) && asked >= least && asked <= plan.context) return asked;
  throw new UsageError(
    `The context must be ${least} to ${plan.context} tokens for this bundle, but ${asked} was asked.`,
  );
}

/** The error for a model of which each way of loading it met with one of these. */
function noRoom(shortages: readonly ShortageError[]): ShortageError {
  const [first, ...rest] = shortages.map(({ message }) => message);
  if (first !== undefined && rest.length === 0) return new ShortageError(first);
  const neither = "The model's look-up tables fit neither into the GPU's memory nor into the browser's storage.";
  return new ShortageError([neither, first, ...rest].join(" "));
}

/** Opens a device and puts the model onto it; tables: the storage for look-up tables that are to lie on the host. */
async function openText(
  { bundle, plan, towers, context, history }: Chosen,
  adapter: GPUAdapter,
  tables: FileSystemDirectoryHandle | undefined,
  signal: AbortSignal | undefined,
  onProgress: (progress: LoadProgress) => void,
): Promise<LoadedText> {
  const wished = Object.values(towers).map((tower) => requiredLimits(tower, tower.context));
  const opening = openDevice(adapter, requiredLimits(plan, context), wished, history);
  const device = await unlessAborted(opening, signal).catch((error: unknown) => {
    void opening.then((late) => late.destroy()).catch(() => undefined);
    throw error;
  });
  const work = new GpuWork(device);
  let hostTables: HostTables | undefined;
  try {
    hostTables = tables && (await HostTables.open(bundle, plan, tables));
    const options = { caches: new Caches(device, plan, context), hostTables, signal, onProgress };
    const failing = [rejectedBy(work.lost), unanswered(device, history)];
    const loading = Promise.race([loadTextPlan(work, bundle, plan, options), ...failing]);
    return { bundle, adapter: describeAdapter(adapter), text: await unlessAborted(loading, signal), towers };
  } catch (failure) {
    const error = await lossOr(device, failure);
    device.destroy();
    await hostTables?.abandon();
    throw error;
  }
}

/** Rejects with what `error` resolves to. */
async function rejectedBy(error: Promise<Error>): Promise<never> {
  throw await error;
}

/**
 * Puts a text plan onto the device, with the caches that a first step reaches. Throws UsageError where the plan is not
 * one of a text model, and what `loadPlan` does.
 */
export async function loadTextPlan(
  work: GpuWork,
  bundle: Bundle,
  plan: Plan,
  { caches, hostTables, signal, onProgress = () => undefined }: TextPlanOptions,
): Promise<TextRunner> {
  const { device } = work;
  const programs = TEXT_PROGRAMS.map((name) => programOf(plan, name));
  const allocate = async (buffers: PlanBuffers) => {
    await checked(device, "the model's scratch", () => buffers.allocateSlots());
    for (const program of programs) {
      const sizes = { T: program.max_tokens, P: 0, C: caches.context };
      await caches.ensure(boundAt(program, buffers.tables, sizes), sizes.T);
    }
  };
  const options = { name: "the model", caches, hostTables, programs: TEXT_PROGRAMS, allocate, signal, onProgress };
  const runner = await loadPlan(work, bundle, plan, options);
  await checked(device, "the model's programs", () => runner.prepare(TEXT_PROGRAMS));
  return new TextRunner(runner, hostTables);
}

function programOf(plan: Plan, name: string): Program {
  const program = plan.programs[name];
  if (!program) throw new UsageError(`The plan has no program "${name}".`);
  return program;
}
