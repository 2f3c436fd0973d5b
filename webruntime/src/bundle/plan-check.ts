/**
 * Checks of a plan beyond the schema: its parts must fit each other, the bundle's files and the plan's limits.
 *
 * A plan that passes cannot make an executor read or bind out of bounds, even if its author is hostile. `check_plan` in
 * Python does the same checks. tests/fixtures/bundle_checks.json has cases for both languages.
 */

import { type Check, checker } from "./checker.ts";
import { evaluate, type Sizes } from "./expression.ts";
import { DECODE, ENCODE, FILL } from "./facts.gen.ts";
import { LIMITS } from "./limits.gen.ts";
import type { Manifest } from "./manifest.gen.ts";
import { planEntries } from "./manifest-check.ts";
import type { Dispatch, Kernel, Plan, Program } from "./plan.gen.ts";
import { memoryAt, type PlanMemory, planMemory } from "./plan-memory.ts";
import { bindingBytes, isGridSize, isTower, largestSizes } from "./plan-sizes.ts";

const BYTES_PER_WORD = 4;

type Buffer = Plan["buffers"][string];
type ControlRole = Extract<Buffer, { kind: "control" }>["role"];

/**
 * Throws BundleError, with the file and the part, if the plan does not fit itself or the manifest.
 *
 * @param file the plan's path in the bundle
 */
export function checkPlan(plan: Plan, manifest: Manifest, file: string): void {
  const check = checker(file);
  const sizes = largestSizes(plan);
  checkCounts(plan, check);
  for (const name of isTower(plan) ? [ENCODE] : [FILL, DECODE])
    check(name in plan.programs, `there is no program "${name}"`);
  for (const size of plan.slots.map((bytes) => evaluate(bytes, sizes))) {
    const fits = size > 0 && size % BYTES_PER_WORD === 0 && size <= plan.limits.maxBufferSize;
    check(fits, `a slot has ${size} bytes; expected a multiple of 4 up to ${plan.limits.maxBufferSize}`);
  }
  for (const [name, buffer] of Object.entries(plan.buffers))
    checkBuffer(plan, manifest, { name, buffer, sizes }, check);
  checkControls(plan, check);
  checkMediaControls(plan, check);
  for (const [name, kernel] of Object.entries(plan.kernels)) checkKernel(plan, manifest, name, kernel, check);
  for (const [name, program] of Object.entries(plan.programs)) checkProgram(plan, name, program, check);
  if (isTower(plan)) checkTower(plan, check);
  else checkLogits(plan, check);
  checkEntry(plan, manifest, file, check);
}

function checkCounts(plan: Plan, check: Check): void {
  const dispatches = Object.values(plan.programs).reduce((sum, program) => sum + program.dispatches.length, 0);
  const buffers = Object.keys(plan.buffers).length + plan.slots.length;
  const kernels = Object.keys(plan.kernels).length;
  check(dispatches <= LIMITS.DISPATCHES, `${dispatches} dispatches are more than ${LIMITS.DISPATCHES}`);
  check(buffers <= LIMITS.BUFFERS, `${buffers} buffers are more than ${LIMITS.BUFFERS}`);
  check(kernels <= LIMITS.KERNELS, `${kernels} kernels are more than ${LIMITS.KERNELS}`);
}

interface Named<Kind extends Buffer = Buffer> {
  name: string;
  buffer: Kind;
  /** The sizes of the plan's largest step. */
  sizes: Sizes;
}

function checkBuffer(plan: Plan, manifest: Manifest, named: Named, check: Check): void {
  const { name, buffer, sizes } = named;
  const bytes = bindingBytes(buffer, sizes);
  check(Number.isSafeInteger(bytes) && bytes > 0 && bytes % 4 === 0, `buffer ${name} has ${bytes} bytes`);
  if (buffer.kind === "weight" || buffer.kind === "rows") checkInFile(manifest, name, buffer, check);
  if (buffer.kind === "rows") checkRows(plan, { name, buffer, sizes }, check);
  if (buffer.kind === "scratch") checkScratch(plan, { name, buffer, sizes }, check);
  if (buffer.kind === "state" && buffer.ring) {
    const { rows, window } = buffer.ring;
    check(window > 0 && rows >= window, `ring ${name} has ${rows} rows for a window of ${window}`);
  }
  if (buffer.kind === "state") return;
  const limit = plan.limits.maxStorageBufferBindingSize;
  check(bytes <= limit, `buffer ${name} has ${bytes} bytes, more than the binding limit of ${limit}`);
}

type Kind<K extends Buffer["kind"]> = Extract<Buffer, { kind: K }>;

function checkInFile(manifest: Manifest, name: string, buffer: Kind<"weight"> | Kind<"rows">, check: Check): void {
  const { file } = buffer;
  const entry = Object.hasOwn(manifest.files, file) ? manifest.files[file] : undefined;
  check(entry !== undefined, `buffer ${name} is in ${file}, which the manifest does not list`);
  const end = buffer.offset + (buffer.kind === "weight" ? buffer.bytes : buffer.rows * buffer.row_bytes);
  const has = entry?.bytes ?? 0;
  check(end <= has, `buffer ${name} ends at byte ${end} of ${file}, which has ${has}`);
}

function checkRows(plan: Plan, { name, buffer, sizes }: Named<Kind<"rows">>, check: Check): void {
  const { slots, bytes, row_bytes: rowBytes } = buffer;
  check(slots >= sizes.T, `buffer ${name} has ${slots} slots for the rows of ${sizes.T} tokens`);
  check(bytes >= slots * rowBytes, `buffer ${name} has ${bytes} bytes for ${slots} rows of ${rowBytes}`);
  const most = Math.max(plan.vocabulary - 1, buffer.replacement);
  check(most < buffer.rows, `buffer ${name} has ${buffer.rows} rows in its file, none for id ${most}`);
}

function checkScratch(plan: Plan, { name, buffer, sizes }: Named<Kind<"scratch">>, check: Check): void {
  for (const at of [{ ...sizes, T: 1 }, sizes]) {
    const needed = evaluate(buffer.bytes, at);
    const slot = evaluate(plan.slots[buffer.slot] ?? 0, at);
    check(needed <= slot, `buffer ${name} needs ${needed} bytes of slot ${buffer.slot}, which has ${slot}`);
  }
}

function checkControls(plan: Plan, check: Check): void {
  const { T: tokens } = largestSizes(plan);
  const always: (readonly [ControlRole, number])[] = isTower(plan)
    ? [["step", 4]]
    : [
        ["ids", tokens],
        ["step", 4],
        ["sampling", 4],
        ["sampled", plan.sampled_ring],
        ...(Object.values(plan.buffers).some(({ kind }) => kind === "rows") ? [["slots", tokens] as const] : []),
      ];
  for (const [role, words] of always) {
    const found = controls(plan, role);
    check(found.length === 1, `there are ${found.length} control buffers "${role}" instead of 1`);
    const [[name, bytes]] = found as [[string, number]];
    const fits = words > 0 && bytes >= words * BYTES_PER_WORD;
    check(fits, `control buffer "${role}" has ${bytes} bytes for ${words} words`);
    check(name === role, `control buffer "${role}" has another name`);
  }
}

/** Names and bytes of the control buffers of that role. */
function controls(plan: Plan, role: ControlRole): [string, number][] {
  return Object.entries(plan.buffers).flatMap(([name, buffer]): [string, number][] =>
    buffer.kind === "control" && buffer.role === role ? [[name, buffer.bytes]] : [],
  );
}

/** Checks `media` and `visible`, which the plans of models that take images or audio have. */
function checkMediaControls(plan: Plan, check: Check): void {
  const tokens = plan.programs.fill?.max_tokens ?? 0;
  for (const [name, buffer] of Object.entries(plan.buffers)) {
    if (buffer.kind !== "control" || (buffer.role !== "media" && buffer.role !== "visible")) continue;
    const count = controls(plan, buffer.role).length;
    check(count === 1, `there are ${count} control buffers "${buffer.role}" instead of 1`);
    check(name === buffer.role, `control buffer "${buffer.role}" has another name`);
    const row = tokens * BYTES_PER_WORD;
    check(
      tokens > 0 && buffer.bytes >= row && buffer.bytes % row === 0,
      `control buffer ${name} has ${buffer.bytes} bytes for the ${tokens} tokens of a chunk`,
    );
  }
}

/** Checks that inputs and output of a tower are scratch, with bytes proportional to the tokens. */
function checkTower(plan: Plan, check: Check): void {
  const { inputs = {}, outputs = {}, max_tokens: tokens = 0 } = plan.programs.encode ?? {};
  check("rows" in outputs && Object.keys(inputs).length > 0, "the tower has no inputs, or no rows that it makes");
  check(tokens === plan.context, `encode takes ${tokens} of the ${plan.context} tokens`);
  for (const [value, name] of [...Object.entries(inputs), ...Object.entries(outputs)]) {
    const buffer = plan.buffers[name];
    check(buffer?.kind === "scratch", `${value} of a tower is ${name}, which is no scratch buffer`);
    const bytes = (T: number) => evaluate(buffer?.kind === "scratch" ? buffer.bytes : 0, { T, P: 0, C: plan.context });
    const one = bytes(1);
    const even = one > 0 && one % BYTES_PER_WORD === 0 && bytes(plan.context) === plan.context * one;
    check(even, `${value} of a tower is ${name}, whose bytes are not proportional to the tokens`);
  }
}

/** Checks that `logits` holds the logits of all tokens. */
function checkLogits(plan: Plan, check: Check): void {
  check("logits" in (plan.programs.decode?.outputs ?? {}), "decode gives no logits");
  for (const [name, { outputs, max_tokens: tokens }] of Object.entries(plan.programs)) {
    const buffer = outputs.logits === undefined ? undefined : plan.buffers[outputs.logits];
    if (!buffer) continue;
    const bytes = bindingBytes(buffer, largestSizes(plan));
    const fits = buffer.kind === "scratch" && bytes >= BYTES_PER_WORD * plan.vocabulary * tokens;
    check(fits, `program ${name} gives logits of ${bytes} bytes for ${plan.vocabulary} ids of ${tokens} tokens`);
  }
}

/** Checks that the manifest's entry states the plan's own values: callers decide by the entry. */
function checkEntry(plan: Plan, manifest: Manifest, file: string, check: Check): void {
  const entries = planEntries(manifest).filter((entry) => entry.file === file);
  check(entries.length > 0, "the manifest names no such plan");
  for (const entry of entries) {
    const tower = !manifest.plans.includes(entry);
    check(tower === isTower(plan), `the manifest says that it is a ${tower ? "tower" : "text model"}`);
    const context = tower ? entry.tokens : manifest.context;
    check(plan.context === context, `the manifest says ${context} tokens of context, the plan ${plan.context}`);
    const same = entry.activation === plan.activation && sameItems(entry.features, plan.features);
    check(same, "the manifest says another activation or other features than the plan");
    const { T: tokens } = largestSizes(plan);
    check(entry.tokens === tokens, `the manifest says ${entry.tokens} tokens a step, the plan ${tokens}`);
    for (const [T, C] of [
      [1, 1],
      [tokens, plan.context],
    ] as const)
      checkMemory(entry.memory, plan, { T, P: C, C }, check);
  }
}

function checkMemory(stated: PlanMemory, plan: Plan, sizes: Sizes, check: Check): void {
  const [said, own] = [memoryAt(stated, sizes), memoryAt(planMemory(plan), sizes)];
  for (const name of Object.keys(own) as (keyof PlanMemory)[]) {
    const message = `the manifest says ${said[name]} bytes of ${name}, but the plan takes ${own[name]}`;
    check(said[name] === own[name], message);
  }
}

function sameItems(left: readonly string[], right: readonly string[]): boolean {
  const [one, other] = [new Set(left), new Set(right)];
  return one.size === other.size && [...one].every((item) => other.has(item));
}

function checkKernel(plan: Plan, manifest: Manifest, name: string, kernel: Kernel, check: Check): void {
  const uniform = kernel.bindings.indexOf("uniform");
  check(
    uniform < 0 || uniform === kernel.bindings.length - 1,
    `kernel ${name} has a uniform that is not its last binding`,
  );
  const storage = kernel.bindings.length - (uniform < 0 ? 0 : 1);
  const limit = plan.limits.maxStorageBuffersPerShaderStage;
  check(storage <= limit, `kernel ${name} has ${storage} storage bindings, more than ${limit}`);
  for (const form of kernel.forms) {
    check(
      Object.hasOwn(manifest.files, form.file),
      `kernel ${name} is in ${form.file}, which the manifest does not list`,
    );
  }
  const least = kernel.forms.at(-1)?.features ?? [];
  const excess = least.filter((feature) => !plan.features.includes(feature));
  check(excess.length === 0, `every form of kernel ${name} needs ${excess}, which the plan does not ask for`);
}

function checkProgram(plan: Plan, name: string, program: Program, check: Check): void {
  const { max_tokens: tokens } = program;
  check(tokens > 0 && tokens <= plan.context, `program ${name} takes ${tokens} tokens in a context of ${plan.context}`);
  for (const [value, buffer] of [...Object.entries(program.inputs), ...Object.entries(program.outputs)]) {
    check(buffer in plan.buffers, `${value} of program ${name} is an unknown buffer "${buffer}"`);
  }
  for (const dispatch of program.dispatches) {
    const at: Check = (holds, message) => check(holds, `program ${name}, ${dispatch.label}: ${message}`);
    checkBindings(plan, dispatch, at);
    checkGrid(plan, tokens, dispatch, at);
  }
}

function checkBindings(plan: Plan, dispatch: Dispatch, check: Check): void {
  const { kernel: name, bindings, params } = dispatch;
  const kernel = plan.kernels[name];
  check(kernel !== undefined, `unknown kernel "${name}"`);
  const access = kernel?.bindings.filter((kind) => kind !== "uniform") ?? [];
  check(bindings.length === access.length, `${bindings.length} bindings for the ${access.length} of kernel ${name}`);
  const wantsParams = kernel?.bindings.includes("uniform") ?? false;
  check((params !== null) === wantsParams, `kernel ${name} ${wantsParams ? "has" : "has no"} params`);
  const words = params?.length ?? 1;
  check(words > 0 && words * BYTES_PER_WORD <= LIMITS.UNIFORM_BYTES, `${words} params`);
  const bound = new Map<string, string>();
  bindings.forEach((binding, index) => {
    const buffer = plan.buffers[binding];
    check(buffer !== undefined, `unknown buffer "${binding}"`);
    const writes = access[index] === "read_write";
    const given = buffer?.kind === "weight" || buffer?.kind === "rows";
    check(!(writes && given), `the weight ${binding} is bound to be written`);
    // WebGPU permits a buffer in two bindings of a dispatch only if both are read-only.
    const memory = buffer?.kind === "scratch" ? `slot ${buffer.slot}` : binding;
    const before = bound.get(memory);
    check(before === undefined || (!writes && before === "read"), `${memory} is bound twice, and written`);
    bound.set(memory, access[index] ?? "read");
  });
}

/**
 * Checks grids at the smallest and largest T and P. Executors check each grid again before they dispatch it.
 *
 * A dispatch with more workgroups than bound words is rejected: in exports each workgroup has dozens of words.
 */
function checkGrid(plan: Plan, tokens: number, dispatch: Dispatch, check: Check): void {
  const limit = plan.limits.maxComputeWorkgroupsPerDimension;
  for (const T of new Set([1, tokens])) {
    for (const P of new Set([0, plan.context - T])) {
      const sizes = { T, P, C: plan.context };
      const grid = dispatch.grid.map((expression) => evaluate(expression, sizes));
      for (const size of grid) check(isGridSize(size, limit), `a grid of ${size} workgroups at T = ${T}, P = ${P}`);
      const groups = grid.reduce((product, size) => product * size, 1);
      const words = Math.floor(boundBytes(plan, dispatch, sizes) / BYTES_PER_WORD);
      check(groups <= words, `${groups} workgroups for the ${words} words that it binds, at T = ${T}, P = ${P}`);
    }
  }
}

function boundBytes(plan: Plan, { bindings }: Dispatch, sizes: Sizes): number {
  return bindings.reduce((sum, name) => sum + bindingBytes(plan.buffers[name] as Buffer, sizes), 0);
}
