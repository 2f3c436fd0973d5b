/** WebGPU in Node: Dawn, which Chrome uses too. */

import { existsSync } from "node:fs";
import { create, globals } from "webgpu";

Object.assign(globalThis, globals);

/** Chromium brings a Vulkan driver that runs on the CPU; it makes these tests the same on every machine. */
const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";

/** A GPU that runs shaders. */
export function runningGpu(): GPU {
  if (existsSync(SWIFTSHADER)) process.env.VK_ICD_FILENAMES = SWIFTSHADER;
  return create([]);
}
