/** Putting a text model onto the GPU: which plan, where its tables lie, and another try where there is no room. */

import { Bundle } from "../bundle/bundle.ts";
import { DECODE, FILL } from "../bundle/facts.gen.ts";
import { chooseTables } from "../bundle/memory.ts";
import type { Plan } from "../bundle/plan.gen.ts";
import { planMemory } from "../bundle/plan-memory.ts";
import { ShortageError, throwIfAborted, UsageError } from "../errors.ts";
import type { AdapterSummary, GpuHistory, LoadOptions, LoadProgress } from "../messages.ts";
import { unlessAborted } from "../patience.ts";
import { describeAdapter, openAdapter } from "./adapter.ts";
import type { PlanBuffers } from "./buffers.ts";
import { checked, choosePlan, deviceLost, lossOr, openDevice, requiredLimits, unanswered } from "./device.ts";
import { HostTables, openTableStorage } from "./host-table.ts";
import { loadPlan } from "./load-plan.ts";
import type { Pipelines } from "./pipelines.ts";
import { ReadyProgram } from "./program.ts";
import { checkRows, readTowerPlans, type TowerPlans } from "./towers.ts";

/** The programs that run here; kernels of others are not compiled. */
const PROGRAMS = [FILL, DECODE];

/** A model on the GPU. */
export interface Parts {
  bundle: Bundle;
  adapter: AdapterSummary;
  device: GPUDevice;
  plan: Plan;
  towers: TowerPlans;
  context: number;
  /** Look-up tables that stay on the host. */
  hostTables: HostTables | undefined;
  buffers: PlanBuffers;
  pipelines: Pipelines;
  programs: { fill: ReadyProgram; decode: ReadyProgram };
}

export interface EngineLoadOptions extends LoadOptions {
  /** Where adapters come from; the browser's own unless told otherwise. */
  gpu?: GPU | undefined;
  /** What the page saw of its GPU before. */
  history?: GpuHistory | undefined;
}

/** Throws what TextEngine.load does. */
export async function loadEngine(url: string, options: EngineLoadOptions): Promise<Parts> {
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
  const engine = { bundle, plan, towers, context };
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
      return await openParts({ ...engine, history }, fresh, tables === "host" ? storage : undefined, signal, tell);
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
async function openParts(
  { history, ...engine }: Pick<Parts, "bundle" | "plan" | "towers" | "context"> & Pick<EngineLoadOptions, "history">,
  adapter: GPUAdapter,
  tables: FileSystemDirectoryHandle | undefined,
  signal: AbortSignal | undefined,
  onProgress: (progress: LoadProgress) => void,
): Promise<Parts> {
  const { bundle, plan, towers, context } = engine;
  const wished = Object.values(towers).map((tower) => requiredLimits(tower, tower.context));
  const opening = openDevice(adapter, requiredLimits(plan, context), wished, history);
  const device = await unlessAborted(opening, signal).catch((error: unknown) => {
    void opening.then((late) => late.destroy()).catch(() => undefined);
    throw error;
  });
  let hostTables: HostTables | undefined;
  try {
    hostTables = tables && (await HostTables.open(bundle, plan, tables));
    const parts = { ...engine, adapter: describeAdapter(adapter), device, hostTables };
    const failing = [rejectedBy(deviceLost(device)), unanswered(device, history)];
    const filling = Promise.race([fillDevice(parts, signal, onProgress), ...failing]);
    return { ...parts, ...(await unlessAborted(filling, signal)) };
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

/** Puts the text model onto the device. */
async function fillDevice(
  { bundle, device, plan, context, hostTables }: Pick<Parts, "bundle" | "device" | "plan" | "context" | "hostTables">,
  signal: AbortSignal | undefined,
  onProgress: (progress: LoadProgress) => void,
): Promise<Pick<Parts, "buffers" | "pipelines" | "programs">> {
  const [fill, decode] = [programOf(plan, FILL), programOf(plan, DECODE)];
  const allocate = async (buffers: PlanBuffers) => {
    await checked(device, "the model's scratch", () => buffers.allocateSlots());
    for (const program of [fill, decode]) await buffers.reach(program, { T: program.max_tokens, P: 0 });
  };
  const options = { name: "the model", context, hostTables, programs: PROGRAMS, allocate, signal, onProgress };
  const { buffers, pipelines } = await loadPlan(device, bundle, plan, options);
  const programs = await checked(device, "the model's programs", () => ({
    fill: new ReadyProgram(device, "fill", fill, pipelines, buffers),
    decode: new ReadyProgram(device, "decode", decode, pipelines, buffers),
  }));
  return { buffers, pipelines, programs };
}

function programOf(plan: Plan, name: string): Plan["programs"][string] {
  const program = plan.programs[name];
  if (!program) throw new UsageError(`The plan has no program "${name}".`);
  return program;
}
