/** WebGPU in Node by Dawn, the implementation of Chrome. */

import { existsSync } from "node:fs";
import { create, globals } from "webgpu";

Object.assign(globalThis, globals);

/** Chromium has a Vulkan driver for the CPU, with which these tests are the same on every machine. */
const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";

if (existsSync(SWIFTSHADER)) process.env.VK_ICD_FILENAMES = SWIFTSHADER;

/** The GPU. It is never collected: Dawn aborts if that happens while one of its devices works. */
export const gpu: GPU = create([]);
