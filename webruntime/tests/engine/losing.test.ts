/** Devices that are lost, or never answer, while a model is loaded. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openAdapter } from "../../src/engine/adapter.ts";
import { checked, unanswered } from "../../src/engine/device.ts";
import { TextEngine } from "../../src/engine/text-engine.ts";
import { AbortError, DeviceError, LostError } from "../../src/errors.ts";
import { pause } from "../../src/patience.ts";
import { type FileServer, serveFiles } from "../bundle/file-server.ts";
import { toyBundle } from "../bundle/toy-bundle.ts";
import { gpu } from "./gpu.ts";

let server: FileServer | undefined;
afterEach(async () => {
  vi.useRealTimers();
  await server?.close();
  server = undefined;
});

const never = new Promise<never>(() => undefined);

/** The real GPU, with devices that `change` may break. */
function worse(change: (device: GPUDevice) => Partial<Record<keyof GPUDevice, unknown>>): GPU {
  const requestAdapter = async (options?: GPURequestAdapterOptions) => {
    const adapter = (await gpu.requestAdapter(options)) as GPUAdapter;
    const requestDevice = async (descriptor?: GPUDeviceDescriptor) => {
      const device = await adapter.requestDevice(descriptor);
      return overlay(device, change(device));
    };
    return overlay(adapter, { requestDevice });
  };
  return { requestAdapter } as unknown as GPU;
}

function overlay<T extends object>(target: T, members: object): T {
  return new Proxy(target, {
    get(object, name) {
      if (Object.hasOwn(members, name)) return Reflect.get(members, name);
      const found: unknown = Reflect.get(object, name, object);
      return typeof found === "function" ? found.bind(object) : found;
    },
  });
}

async function load(options: Parameters<typeof TextEngine.load>[1]): Promise<TextEngine> {
  server = await serveFiles(toyBundle());
  return TextEngine.load(server.url, options);
}

describe("a GPU that never answers", () => {
  const silent = { requestAdapter: () => never } as unknown as GPU;

  test("is given up after 15 seconds, and what was left on it is named", async () => {
    vi.useFakeTimers();
    const history = {
      losses: 0,
      holder: "The work of https://example.com/loop/, whose worker was ended 9 seconds ago,",
    };
    const opening = openAdapter(silent, history);
    const caught = expect(opening).rejects.toThrow(
      /GPU process has not answered for 15 seconds\. The work of https:\/\/example\.com\/loop\/, .* had to be left on it/,
    );
    await vi.advanceTimersByTimeAsync(15_000);
    await caught;
  });

  test("hinders no abort", async () => {
    const stop = new AbortController();
    const loading = load({ gpu: silent, signal: stop.signal });
    setTimeout(() => stop.abort(), 50);
    await expect(loading).rejects.toBeInstanceOf(AbortError);
  });

  test("while kernels compile hinders no abort", async () => {
    const stop = new AbortController();
    const compiling = worse(() => ({
      createComputePipelineAsync: () => {
        setTimeout(() => stop.abort(), 10);
        return never;
      },
    }));
    await expect(load({ gpu: compiling, signal: stop.signal })).rejects.toBeInstanceOf(AbortError);
  });

  test("once its device is open is given up too", async () => {
    vi.useFakeTimers();
    const adapter = (await gpu.requestAdapter()) as GPUAdapter;
    const device = await adapter.requestDevice();
    const busy = overlay(device, { queue: overlay(device.queue, { onSubmittedWorkDone: () => never }) });
    const caught = expect(unanswered(busy)).rejects.toThrow(/has not answered for 15 seconds/);
    await vi.advanceTimersByTimeAsync(20_000);
    await caught;
  });
});

test.each([
  [0, /found no GPU that it may use/],
  [1, /gives this page no GPU any more, after the GPU was lost once\. Reload the page/],
  [3, /lost 3 times.*restart the browser/],
])("no adapter after %i losses is said with advice that fits", async (losses, message) => {
  const none = { requestAdapter: async () => null } as unknown as GPU;
  await expect(openAdapter(none, { losses })).rejects.toThrow(message);
  await expect(openAdapter(none, { losses })).rejects.toBeInstanceOf(DeviceError);
});

test("an adapter that cannot be asked for is an error in words", async () => {
  const broken = { requestAdapter: () => Promise.reject(new DOMException("x", "InvalidStateError")) };
  await expect(openAdapter(broken as unknown as GPU)).rejects.toThrow(/could not be opened \(InvalidStateError: x\)/);
});

describe("a device that is lost while it is loaded", () => {
  /** As in Chromium: requests fail before the loss is reported, and modules have no information any more. */
  const losing = worse((device) => {
    let lose: (info: object) => void = () => undefined;
    const lost = new Promise((resolve) => {
      lose = resolve;
    });
    return {
      lost,
      createShaderModule: (descriptor: GPUShaderModuleDescriptor) =>
        overlay(device.createShaderModule(descriptor), {
          getCompilationInfo: () => Promise.reject(new DOMException("Instance dropped error in getCompilationInfo")),
        }),
      createComputePipelineAsync: () => {
        setTimeout(
          () => lose({ reason: "unknown", message: "A valid external Instance reference no longer exists." }),
          20,
        );
        return Promise.reject(new DOMException("Instance dropped.", "OperationError"));
      },
    };
  });

  test("is lost, whatever it said of its kernels", async () => {
    const loading = load({ gpu: losing });
    await expect(loading).rejects.toBeInstanceOf(LostError);
    await expect(loading).rejects.toThrow(/^The browser took the GPU away \(.*\)\. Load the model again\.$/);
  });
});

test("what WebGPU throws at once is an error in words", async () => {
  const adapter = (await gpu.requestAdapter()) as GPUAdapter;
  const device = await adapter.requestDevice();
  const attempt = checked(device, "a buffer", () => device.createBuffer({ size: -1, usage: GPUBufferUsage.STORAGE }));
  await expect(attempt).rejects.toBeInstanceOf(DeviceError);
  await expect(attempt).rejects.toThrow(/^The GPU refused a buffer: /);
  device.destroy();
});

describe("work that fails before it is awaited", () => {
  const gone = () => Promise.reject(new DOMException("gone", "OperationError"));
  const unheard: unknown[] = [];
  const hear = (error: unknown) => unheard.push(error);
  beforeEach(() => {
    unheard.length = 0;
    process.on("unhandledRejection", hear);
  });
  afterEach(() => process.off("unhandledRejection", hear));

  test("while its caller looks at an earlier id is an error of the next one alone", async () => {
    let reads = 0;
    const engine = await load({
      gpu: worse((device) => ({
        createBuffer: (descriptor: GPUBufferDescriptor) => {
          const buffer = device.createBuffer(descriptor);
          const { mapAsync } = buffer;
          const map = (mode: number) => (reads++ === 0 ? mapAsync.call(buffer, mode) : gone());
          return Object.assign(buffer, descriptor.label?.startsWith("staging") && { mapAsync: map });
        },
      })),
    });
    const decoding = engine.decode(1, { maxTokens: 3, depth: 3 });
    await decoding.next();
    await pause(50);
    await expect(decoding.next()).rejects.toBeInstanceOf(DeviceError);
    expect(unheard).toEqual([]);
    engine.dispose();
  });

  test("while the next chunk of a prompt is made ready is an error of the prompt", async () => {
    let opened = false;
    const engine = await load({
      gpu: worse((device) => ({
        queue: overlay(device.queue, {
          onSubmittedWorkDone: () => (opened ? gone() : device.queue.onSubmittedWorkDone()),
        }),
      })),
    });
    opened = true;
    const filling = engine.fill(Uint32Array.from({ length: engine.context }, () => 1));
    await expect(filling).rejects.toBeInstanceOf(DeviceError);
    await pause(50);
    expect(unheard).toEqual([]);
    engine.dispose();
  });
});

describe("a call to WebGPU that throws once the model is loaded", () => {
  let isThrowing = false;
  const thrown = <T extends object>(target: T, name: keyof T & string) => ({
    [name]: (...given: unknown[]) => {
      if (isThrowing) throw new RangeError("no memory");
      return (target[name] as (...given: unknown[]) => unknown).apply(target, given);
    },
  });
  const onDevice = (name: keyof GPUDevice & string) => worse((device) => thrown(device, name));
  const onQueue = (name: keyof GPUQueue & string) =>
    worse((device) => ({ queue: overlay(device.queue, thrown(device.queue, name)) }));
  const refused = expect.objectContaining({
    code: "DeviceError",
    message: expect.stringMatching(/refused .*no memory/),
  });

  test.each([
    ["createBindGroup", onDevice("createBindGroup")],
    ["createCommandEncoder", onDevice("createCommandEncoder")],
    ["submit", onQueue("submit")],
    ["writeBuffer", onQueue("writeBuffer")],
  ])("is an error in words, and no id comes of it: %s", async (_, gpu) => {
    isThrowing = false;
    const engine = await load({ gpu });
    isThrowing = true;
    await expect(engine.decode(1, { maxTokens: 2 }).next()).rejects.toEqual(refused);
    engine.dispose();
  });

  test("is one for prompts, settings and snapshots too", async () => {
    isThrowing = false;
    const engine = await load({ gpu: onQueue("writeBuffer") });
    isThrowing = true;
    expect(() => engine.setSampling({ temperature: 0, topK: 0, topP: 1, seed: 0 })).toThrow(DeviceError);
    await expect(engine.fill(Uint32Array.of(1))).rejects.toEqual(refused);
    engine.dispose();
  });

  test("leaves nothing on the GPU where the engine cannot be made", async () => {
    const destroyed = vi.fn();
    let left = Number.POSITIVE_INFINITY;
    const gpu = worse((device) => ({
      destroy: () => {
        destroyed();
        device.destroy();
      },
      createBuffer: (descriptor: GPUBufferDescriptor) => {
        if (descriptor.label === "staging 0") left = 0;
        if (left-- <= 0) throw new RangeError("no memory");
        return device.createBuffer(descriptor);
      },
    }));
    await expect(load({ gpu })).rejects.toEqual(refused);
    expect(destroyed).toHaveBeenCalled();
  });
});
