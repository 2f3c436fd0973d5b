/** WebGPU in Node: Dawn, which Chrome uses too. */

import { existsSync } from "node:fs";
import { create, globals } from "webgpu";

Object.assign(globalThis, globals);

/** Chromium brings a Vulkan driver that runs on the CPU; it makes these tests the same on every machine. */
const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";

if (existsSync(SWIFTSHADER)) process.env.VK_ICD_FILENAMES = SWIFTSHADER;

/** A GPU that runs shaders. Held here to the end: Dawn aborts when it is collected while a device of it works. */
export const gpu: GPU = create([]);
