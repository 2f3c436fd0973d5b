/**
 * What a JSON schema cannot say about a plan: that its parts fit each other, its files and the limits it names. A plan
 * that passes cannot make the executor read or bind out of bounds, whoever wrote it.
 */

import { BundleError } from "./errors.ts";
import { evaluate, type Sizes } from "./expression.ts";
import type { Manifest } from "./manifest.gen.ts";
import type { Dispatch, Kernel, Plan, Program } from "./plan.gen.ts";

/** Limits of WebGPU that no plan states because every device has them. */
const MAX_UNIFORM_BYTES = 65536;
const BYTES_PER_WORD = 4;

type Buffer = Plan["buffers"][string];
type ControlRole = Extract<Buffer, { kind: "control" }>["role"];

/** Throws BundleError that names the file and the part of it that does not fit. */
export function checkPlan(plan: Plan, manifest: Manifest, file: string): void {
  const check: Check = (holds, message) => {
    if (!holds) throw new BundleError(`${file}: ${message}. The bundle is damaged: export it again.`, file);
  };
  for (const name of isTower(plan) ? ["encode"] : ["fill", "decode"])
    check(name in plan.programs, `there is no program "${name}"`);
  const slots = plan.slots.map((bytes) => evaluate(bytes, largestSizes(plan)));
  for (const size of slots) {
    const fits = size > 0 && size % BYTES_PER_WORD === 0 && size <= plan.limits.maxBufferSize;
    check(fits, `a slot has ${size} bytes; expected a multiple of 4 up to ${plan.limits.maxBufferSize}`);
  }
  for (const [name, buffer] of Object.entries(plan.buffers)) checkBuffer(plan, manifest, name, buffer, check);
  checkControls(plan, check);
  checkMediaControls(plan, check);
  for (const [name, kernel] of Object.entries(plan.kernels)) checkKernel(plan, manifest, name, kernel, check);
  for (const [name, program] of Object.entries(plan.programs)) checkProgram(plan, name, program, check);
  if (isTower(plan)) checkTower(plan, check);
}

type Check = (holds: boolean, message: string) => void;

/** A tower makes rows of embeddings and knows no vocabulary. */
function isTower(plan: Plan): boolean {
  return plan.vocabulary === 0;
}

/** The largest step at the end of a context, the plan's own unless a smaller one was chosen. */
export function largestSizes(plan: Plan, context = plan.context): Sizes {
  const tokens = Math.max(...Object.values(plan.programs).map((program) => program.max_tokens));
  return { T: tokens, P: context, C: context };
}

/** The bytes that bindings of a buffer see. */
export function bindingBytes(buffer: Buffer, sizes: Sizes): number {
  return buffer.kind === "state" || buffer.kind === "scratch" ? evaluate(buffer.bytes, sizes) : buffer.bytes;
}

function checkBuffer(plan: Plan, manifest: Manifest, name: string, buffer: Buffer, check: Check): void {
  const sizes = largestSizes(plan);
  const bytes = bindingBytes(buffer, sizes);
  check(Number.isSafeInteger(bytes) && bytes > 0 && bytes % 4 === 0, `buffer ${name} has ${bytes} bytes`);
  if (buffer.kind === "weight" || buffer.kind === "rows") {
    const entry = manifest.files[buffer.file];
    check(entry !== undefined, `buffer ${name} lies in ${buffer.file}, which the manifest does not list`);
    const end = buffer.offset + (buffer.kind === "weight" ? buffer.bytes : buffer.rows * buffer.row_bytes);
    check(
      end <= (entry?.bytes ?? 0),
      `buffer ${name} ends at byte ${end} of ${buffer.file}, which has ${entry?.bytes}`,
    );
  }
  if (buffer.kind === "rows") {
    const { places, row_bytes: rowBytes } = buffer;
    check(places >= sizes.T, `buffer ${name} has ${places} places for the rows of ${sizes.T} tokens`);
    check(bytes >= places * rowBytes, `buffer ${name} has ${bytes} bytes for ${places} rows of ${rowBytes}`);
    const most = Math.max(plan.vocabulary - 1, buffer.by);
    check(most < buffer.rows, `the table of buffer ${name} has ${buffer.rows} rows, none for id ${most}`);
  }
  if (buffer.kind === "scratch") {
    for (const at of [{ ...sizes, T: 1 }, sizes]) {
      const needed = evaluate(buffer.bytes, at);
      const slot = evaluate(plan.slots[buffer.slot] ?? 0, at);
      check(needed <= slot, `buffer ${name} needs ${needed} bytes of slot ${buffer.slot}, which has ${slot}`);
    }
  }
  if (buffer.kind === "state" && buffer.ring) {
    const { rows, window } = buffer.ring;
    check(window > 0 && rows >= window, `ring ${name} has ${rows} rows for a window of ${window}`);
  }
  if (buffer.kind !== "state") {
    const limit = plan.limits.maxStorageBufferBindingSize;
    check(bytes <= limit, `buffer ${name} has ${bytes} bytes, more than the binding limit of ${limit}`);
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
        ...(Object.values(plan.buffers).some(({ kind }) => kind === "rows") ? [["places", tokens] as const] : []),
      ];
  for (const [role, words] of always) {
    const found = Object.values(plan.buffers).filter((buffer) => buffer.kind === "control" && buffer.role === role);
    check(found.length === 1, `there are ${found.length} control buffers "${role}" instead of 1`);
    const bytes = found.map((buffer) => bindingBytes(buffer, largestSizes(plan)))[0] ?? 0;
    check(
      words > 0 && bytes >= words * BYTES_PER_WORD,
      `control buffer "${role}" has ${bytes} bytes for ${words} words`,
    );
  }
}

/** What only models have that take media: rows for the tokens of a chunk, and how far each of them sees. */
function checkMediaControls(plan: Plan, check: Check): void {
  const tokens = plan.programs.fill?.max_tokens ?? 0;
  for (const [name, buffer] of Object.entries(plan.buffers)) {
    if (buffer.kind !== "control" || (buffer.role !== "media" && buffer.role !== "visible")) continue;
    const others = Object.values(plan.buffers).filter((one) => one.kind === "control" && one.role === buffer.role);
    check(others.length === 1, `there are ${others.length} control buffers "${buffer.role}" instead of 1`);
    const row = tokens * BYTES_PER_WORD;
    check(
      tokens > 0 && buffer.bytes >= row && buffer.bytes % row === 0,
      `control buffer ${name} has ${buffer.bytes} bytes for the ${tokens} tokens of a chunk`,
    );
  }
}

/** Input and output of a tower are values of its program. */
function checkTower(plan: Plan, check: Check): void {
  const { inputs = {}, outputs = {} } = plan.programs.encode ?? {};
  check("rows" in outputs && Object.keys(inputs).length > 0, "the tower has no inputs, or no rows that it makes");
  for (const [value, buffer] of [...Object.entries(inputs), ...Object.entries(outputs)]) {
    check(plan.buffers[buffer]?.kind === "scratch", `${value} of a tower is ${buffer}, which is no scratch`);
  }
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
    check(form.file in manifest.files, `kernel ${name} is in ${form.file}, which the manifest does not list`);
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
  check(words > 0 && words * BYTES_PER_WORD <= MAX_UNIFORM_BYTES, `${words} params`);
  const bound = new Map<string, string>();
  bindings.forEach((binding, index) => {
    const buffer = plan.buffers[binding];
    check(buffer !== undefined, `unknown buffer "${binding}"`);
    const writes = access[index] === "read_write";
    const given = buffer?.kind === "weight" || buffer?.kind === "rows";
    check(!(writes && given), `the weight ${binding} is bound to be written`);
    // One GPU buffer may be bound twice only to be read.
    const memory = buffer?.kind === "scratch" ? `slot ${buffer.slot}` : binding;
    const before = bound.get(memory);
    check(before === undefined || (!writes && before === "read"), `${memory} is bound twice, and written`);
    bound.set(memory, access[index] ?? "read");
  });
}

/** Grids are monotonic in T and P in all but contrived plans; the executor checks each before it dispatches too. */
function checkGrid(plan: Plan, tokens: number, dispatch: Dispatch, check: Check): void {
  const limit = plan.limits.maxComputeWorkgroupsPerDimension;
  for (const T of new Set([1, tokens])) {
    for (const P of new Set([0, plan.context - T])) {
      for (const expression of dispatch.grid) {
        const size = evaluate(expression, { T, P, C: plan.context });
        check(isGridSize(size, limit), `a grid of ${size} workgroups at T = ${T}, P = ${P}`);
      }
    }
  }
}

export function isGridSize(size: number, limit: number): boolean {
  return Number.isSafeInteger(size) && size >= 0 && size <= limit;
}
