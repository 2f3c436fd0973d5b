/**
 * Loads a text model onto the GPU: chooses the plan and the residence of per-layer embeddings, and tries the other residence
 * if memory or storage runs out.
 */

import { Bundle } from "../bundle/bundle.ts";
import { chooseResidence } from "../bundle/memory.ts";
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
import { HostEmbeddings, openEmbeddingsStorage } from "./host-embeddings.ts";
import { loadPlan } from "./load-plan.ts";
import { boundAt } from "./program.ts";
import { TEXT_PROGRAMS, TextRunner } from "./text-runner.ts";
import { checkRows, readTowerPlans, type TowerPlans } from "./towers.ts";
import { GpuWork } from "./work.ts";

/** A bundle's text model on the GPU, and the plans of its towers. */
export interface LoadedText {
  /** The open bundle. */
  bundle: Bundle;
  /** The GPU. */
  adapter: AdapterSummary;
  /** The loaded text model. */
  text: TextRunner;
  /** The plans of the towers. */
  towers: TowerPlans;
}

/** Options of `TextEngine.load`. */
export interface EngineLoadOptions extends LoadOptions {
  /** The source of adapters; by default the browser's `navigator.gpu`. */
  gpu?: GPU | undefined;
  /** Earlier losses of the page's GPU; none by default. */
  history?: GpuHistory | undefined;
}

/** A model before a device is opened. */
interface Chosen {
  bundle: Bundle;
  plan: Plan;
  towers: TowerPlans;
  context: number;
  history: GpuHistory | undefined;
}

/** Options of `loadTextPlan`. */
export interface TextPlanOptions {
  /** The caches that the plan runs on. A draft model runs on those of its target. */
  caches: Caches;
  /** Per-layer embeddings on the host; by default they are uploaded like all weights. */
  hostEmbeddings?: HostEmbeddings | undefined;
  /** Stops loading, which then throws AbortError; none by default. */
  signal?: AbortSignal | undefined;
  /** Called for each stage, and during the download; none by default. */
  onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/** Loads the text model of the bundle at `url`. Throws as `TextEngine.load` does. */
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
  const storage = await openEmbeddingsStorage();
  const model = { bundle, plan, towers, context, history };
  let downloaded = false;
  const report = (progress: LoadProgress) => {
    downloaded ||= progress.loaded > 0;
    onProgress(progress);
  };
  const shortages: ShortageError[] = [];
  for (const embeddings of chooseResidence(entry, context, options, storage !== undefined)) {
    // An adapter opens only one device.
    const fresh = shortages.length === 0 ? adapter : await openAdapter(gpu, history);
    try {
      return await openText(model, fresh, embeddings === "host" ? storage : undefined, signal, report);
    } catch (error) {
      // After the download has begun, another try would download again.
      if (!(error instanceof ShortageError) || downloaded) throw error;
      shortages.push(error);
    }
  }
  throw shortageOf(shortages);
}

function chooseContext(plan: Plan, asked: number | undefined): number {
  if (asked === undefined) return plan.context;
  const least = Math.max(...Object.values(plan.programs).map((program) => program.max_tokens));
  if (Number.isInteger(asked) && asked >= least && asked <= plan.context) return asked;
  throw new UsageError(
    `The context must be ${least} to ${plan.context} tokens for this bundle, but ${asked} was asked.`,
  );
}

/** The error for a model that fits no residence. shortages: the error of each try. */
function shortageOf(shortages: readonly ShortageError[]): ShortageError {
  const [first, ...rest] = shortages.map(({ message }) => message);
  if (first !== undefined && rest.length === 0) return new ShortageError(first);
  const neither = "The model's per-layer embeddings fit neither into the GPU's memory nor into the browser's storage.";
  return new ShortageError([neither, first, ...rest].join(" "));
}

/** Opens a device and loads the model onto it. storage: for embeddings on the host; undefined for the GPU. */
async function openText(
  { bundle, plan, towers, context, history }: Chosen,
  adapter: GPUAdapter,
  storage: FileSystemDirectoryHandle | undefined,
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
  let hostEmbeddings: HostEmbeddings | undefined;
  try {
    hostEmbeddings = storage && (await HostEmbeddings.open(bundle, plan, storage));
    const options = { caches: new Caches(device, plan, context), hostEmbeddings, signal, onProgress };
    const failing = [rejectedBy(work.lost), unanswered(device, history)];
    const loading = Promise.race([loadTextPlan(work, bundle, plan, options), ...failing]);
    return { bundle, adapter: describeAdapter(adapter), text: await unlessAborted(loading, signal), towers };
  } catch (failure) {
    const error = await lossOr(device, failure);
    device.destroy();
    await hostEmbeddings?.abandon();
    throw error;
  }
}

/** Rejects with what `error` resolves to. */
async function rejectedBy(error: Promise<Error>): Promise<never> {
  throw await error;
}

/**
 * Loads a text plan onto a device, and creates the caches that a first step uses.
 *
 * @throws UsageError for a tower's plan, and as `loadPlan` does
 */
export async function loadTextPlan(
  work: GpuWork,
  bundle: Bundle,
  plan: Plan,
  { caches, hostEmbeddings, signal, onProgress = () => undefined }: TextPlanOptions,
): Promise<TextRunner> {
  const { device } = work;
  const programs = TEXT_PROGRAMS.map((name) => programOf(plan, name));
  const allocate = async (buffers: PlanBuffers) => {
    await checked(device, "the model's scratch", () => buffers.allocateSlots());
    for (const program of programs) {
      const sizes = { T: program.max_tokens, P: 0, C: caches.context };
      await caches.ensure(boundAt(program, buffers.embeddings, sizes), sizes.T);
    }
  };
  const options = { name: "the model", caches, hostEmbeddings, programs: TEXT_PROGRAMS, allocate, signal, onProgress };
  const runner = await loadPlan(work, bundle, plan, options);
  await checked(device, "the model's programs", () => runner.prepare(TEXT_PROGRAMS));
  return new TextRunner(runner, hostEmbeddings);
}

function programOf(plan: Plan, name: string): Program {
  const program = plan.programs[name];
  if (!program) throw new UsageError(`The plan has no program "${name}".`);
  return program;
}
