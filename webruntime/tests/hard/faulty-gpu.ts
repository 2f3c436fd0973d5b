/** A GPU with one failing call. */

import type { DeviceFault } from "./host.ts";

// biome-ignore lint/suspicious/noExplicitAny: calls are looked up by their names
type Methods = any;

/**
 * Return `gpu` with one failing call among its own, its adapters', devices', queues' and buffers', as `fault` states.
 */
export function faultyGpu(gpu: GPU, fault: DeviceFault | undefined): GPU {
  if (!fault) return gpu;
  let left = fault.after;
  let lose: () => void = () => undefined;
  const strike = (): unknown => {
    if (left-- > 0) return undefined;
    left = Number.POSITIVE_INFINITY;
    if (fault.fault === "lost") return void lose();
    if (fault.fault === "null") return { nothing: true };
    throw fault.fault === "TypeError" || fault.fault === "RangeError"
      ? new globalThis[fault.fault](`${fault.call} failed`)
      : new DOMException(`${fault.call} failed`, fault.fault);
  };
  const wrap = (target: Methods, names: readonly string[], made: (result: Methods) => Methods = (one) => one) => {
    for (const name of names) {
      const call = target[name].bind(target);
      const isAsync = /Async$|^request|^pop|^onSub|^getComp/.test(name);
      target[name] = (...given: unknown[]) => {
        if (name !== fault.call) {
          const result = call(...given);
          return result instanceof Promise ? result.then(made) : made(result);
        }
        try {
          if (strike()) return isAsync ? Promise.resolve(null) : null;
        } catch (error) {
          if (!isAsync) throw error;
          return Promise.reject(error);
        }
        const result = call(...given);
        return result instanceof Promise ? result.then(made) : made(result);
      };
    }
    return target;
  };
  const buffer = (one: Methods) => wrap(one, ["mapAsync", "getMappedRange"]);
  const device = (one: Methods) => {
    const lost = new Promise((give) => {
      lose = () => {
        give({ reason: "unknown", message: "The GPU process was restarted." });
        one.destroy();
      };
      void one.lost.then(give);
    });
    Object.defineProperty(one, "lost", { value: lost });
    wrap(one.queue, ["submit", "writeBuffer", "onSubmittedWorkDone"]);
    wrap(one, ["createShaderModule"], (made: Methods) => wrap(made, ["getCompilationInfo"]));
    const names = ["createComputePipelineAsync", "createBindGroup", "createCommandEncoder", "popErrorScope"];
    wrap(one, ["createBuffer"], buffer);
    return wrap(one, names);
  };
  const adapter = (one: Methods) => one && wrap(one, ["requestDevice"], device);
  const faulty = { requestAdapter: gpu.requestAdapter.bind(gpu), wgslLanguageFeatures: gpu.wgslLanguageFeatures };
  return wrap(faulty, ["requestAdapter"], adapter) as GPU;
}
