/** The compute pipelines of a plan. */

import type { Form, Kernel, Plan } from "../bundle/plan.gen.ts";
import { causeOf, DeviceError, UsageError } from "../errors.ts";
import { checked } from "./device.ts";

/** WGSL's names of WebGPU's features. */
const EXTENSIONS: Record<Form["features"][number], string> = { "shader-f16": "f16", subgroups: "subgroups" };

const BINDING_TYPES: Record<Kernel["bindings"][number], GPUBufferBindingType> = {
  read: "read-only-storage",
  read_write: "storage",
  uniform: "uniform",
};

/** A kernel that is ready to run. */
interface Compiled {
  form: Form;
  layout: GPUBindGroupLayout;
  pipeline: GPUComputePipeline;
}

/** Returns the text of a WGSL file of the bundle. */
export type ReadShader = (file: string) => Promise<string>;

/** The compiled kernels of a plan. */
export class Pipelines {
  private constructor(
    private readonly device: GPUDevice,
    private readonly kernels: Map<string, Compiled>,
  ) {}

  /**
   * Creates one pipeline for each kernel of these programs, in parallel.
   *
   * @throws DeviceError with kernel, file and line, and what `read` throws
   */
  static async create(
    device: GPUDevice,
    plan: Plan,
    programs: readonly string[],
    read: ReadShader,
  ): Promise<Pipelines> {
    const texts = new Map<string, Promise<string>>();
    const once: ReadShader = (file) => {
      const text = texts.get(file) ?? read(file);
      texts.set(file, text);
      return text;
    };
    const dispatches = programs.flatMap((program) => plan.programs[program]?.dispatches ?? []);
    const used = new Set(dispatches.map(({ kernel }) => kernel));
    const kernels = Object.entries(plan.kernels).filter(([name]) => used.has(name));
    const compiled = kernels.map(async ([name, kernel]) => {
      const form = chooseForm(device, name, kernel);
      const layout = createLayout(device, name, kernel);
      const pipeline = await compile(device, name, form, layout, await once(form.file));
      return [name, { form, layout, pipeline }] as const;
    });
    return new Pipelines(device, new Map(await Promise.all(compiled)));
  }

  /** The pipeline of a kernel and the layout of its bind groups. Throws UsageError for an unknown kernel. */
  get(kernel: string): Compiled {
    const compiled = this.kernels.get(kernel);
    if (!compiled) throw new UsageError(`The plan has no kernel "${kernel}".`);
    return compiled;
  }

  /** Recompiles all kernels of a WGSL file with `text`. Throws DeviceError if one fails; the old ones stay then. */
  async swap(file: string, text: string): Promise<void> {
    const affected = [...this.kernels].filter(([, { form }]) => form.file === file);
    const pipelines = await Promise.all(
      affected.map(([name, { form, layout }]) => compile(this.device, name, form, layout, text)),
    );
    affected.forEach(([name, compiled], index) => {
      const pipeline = pipelines[index];
      if (pipeline) this.kernels.set(name, { ...compiled, pipeline });
    });
  }
}

/** The first form whose features the device has. */
function chooseForm(device: GPUDevice, name: string, kernel: Kernel): Form {
  const form = kernel.forms.find(({ features }) => features.every((feature) => device.features.has(feature)));
  if (!form) throw new DeviceError(`This GPU can run no form of kernel ${name}.`);
  return form;
}

function createLayout(device: GPUDevice, name: string, kernel: Kernel): GPUBindGroupLayout {
  const entries = kernel.bindings.map((binding, index) => ({
    binding: index,
    visibility: GPUShaderStage.COMPUTE,
    buffer: { type: BINDING_TYPES[binding] },
  }));
  return device.createBindGroupLayout({ label: name, entries });
}

/** The WGSL text after the `enable` directives of its form's features, on the same line to keep the numbers of lines. */
export function shaderSource(features: readonly Form["features"][number][], text: string): string {
  return features.map((feature) => `enable ${EXTENSIONS[feature]}; `).join("") + text;
}

async function compile(
  device: GPUDevice,
  name: string,
  form: Form,
  layout: GPUBindGroupLayout,
  text: string,
): Promise<GPUComputePipeline> {
  const stage = `kernel ${name} (${form.file})`;
  let module: GPUShaderModule | undefined;
  try {
    return await checked(device, stage, () => {
      module = device.createShaderModule({ label: form.file, code: shaderSource(form.features, text) });
      return device.createComputePipelineAsync({
        label: name,
        layout: device.createPipelineLayout({ label: name, bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: form.entry_point, constants: form.constants },
      });
    });
  } catch (error) {
    // A lost device has no information on its modules.
    const info = await module?.getCompilationInfo().catch(() => undefined);
    const messages = info?.messages ?? [];
    const lines = messages
      .filter(({ type }) => type === "error")
      .map(({ lineNum, linePos, message }) => `${form.file}:${lineNum}:${linePos}: ${message}`);
    if (lines.length === 0 && error instanceof DeviceError) throw error;
    throw new DeviceError(`The GPU refused ${stage}: ${lines.join("\n") || causeOf(error)}`);
  }
}
