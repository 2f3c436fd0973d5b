/** Opens the GPU's adapter, with errors for users if there is none or it does not answer. */

import { causeOf, DeviceError } from "../errors.ts";
import type { AdapterSummary, GpuHistory } from "../messages.ts";
import { GPU_OPENS_MS, within } from "../patience.ts";

/** Names of adapters that run on the CPU. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|basic render|warp/i;

/**
 * Opens the adapter of the fastest GPU.
 *
 * @param gpu the browser's WebGPU; undefined where it has none
 * @param history earlier losses of the GPU, for the error
 * @throws DeviceError without WebGPU or GPU, or if the GPU does not answer
 */
export async function openAdapter(gpu: GPU | undefined, history?: GpuHistory): Promise<GPUAdapter> {
  if (!gpu) {
    throw new DeviceError(
      globalThis.isSecureContext === false
        ? "WebGPU needs a page from https:// or localhost, and this one is from neither."
        : "This browser has no WebGPU, or it is switched off. Current versions of Chrome, Edge, Safari and Firefox " +
            "have it; update the browser or use one of those.",
    );
  }
  const adapter = await opened(gpu.requestAdapter({ powerPreference: "high-performance" }), history);
  if (adapter) return adapter;
  throw new DeviceError(history?.losses ? goneAgain(history.losses) : NO_ADAPTER);
}

const NO_ADAPTER =
  "The browser has WebGPU but found no GPU that it may use. Switch hardware acceleration on in its settings, or " +
  "update the graphics driver.";

function goneAgain(losses: number): string {
  const often = losses === 1 ? "once" : `${losses} times`;
  return (
    `The browser gives this page no GPU any more, after the GPU was lost ${often}. Reload the page in a minute, or restart ` +
    "the browser. If the GPU is lost again then, choose a smaller model or context, or update the graphics driver."
  );
}

/** Awaits the opening of a GPU, at most GPU_OPENS_MS. Throws DeviceError if it fails or takes longer. */
export async function opened<T>(opening: Promise<T>, history?: GpuHistory): Promise<T> {
  const work = opening.catch((error: unknown) => {
    const cause = causeOf(error);
    throw new DeviceError(`The GPU could not be opened (${cause}). Close other tabs that use it and reload.`);
  });
  return within(work, GPU_OPENS_MS, () => new DeviceError(silent(history)));
}

function silent(history: GpuHistory | undefined): string {
  const holder = history?.holder ? ` ${history.holder} had to be left on it, and may hold it still.` : "";
  return (
    `The browser's GPU process has not answered for ${GPU_OPENS_MS / 1000} seconds.${holder} Wait a minute and try again, ` +
    "close other tabs that use the GPU, or restart the browser."
  );
}

/** The names, the kind and the features of an adapter. */
export function describeAdapter(adapter: GPUAdapter): AdapterSummary {
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  return {
    vendor,
    architecture,
    description: description || device,
    software: isFallbackAdapter || SOFTWARE.test(`${architecture} ${device} ${description}`),
    features: [...adapter.features].sort(),
  };
}
