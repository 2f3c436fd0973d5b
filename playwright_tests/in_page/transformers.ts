/** Runs transformers.js, which stays in the global `transformers` of its page. */

import type * as Library from "@huggingface/transformers";
import { base64Of } from "./site.ts";

declare global {
  var transformers: typeof Library;
  var model: Library.PreTrainedModel;
  var processor: Library.Processor;
}

/** Import the library, with all its files, from a folder of the server. */
export async function open(folder: string): Promise<void> {
  const library: typeof Library = await import(`${folder}package/transformers.min.js`);
  const { env } = library;
  const runtime = `${folder}runtime/ort-wasm-simd-threaded.asyncify`;
  Object.assign(env.backends.onnx.wasm ?? {}, { wasmPaths: { mjs: `${runtime}.mjs`, wasm: `${runtime}.wasm` } });
  Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, useBrowserCache: false, useWasmCache: false });
  // A path, because the library looks for an address with a scheme elsewhere.
  env.localModelPath = new URL("../bundles/", folder).pathname;
  globalThis.transformers = library;
}

/** Load the text model of a bundle; Gemma4ForCausalLM leaves the towers out. */
export async function loadText([device, bundle]: [Library.DeviceType, string]): Promise<void> {
  globalThis.model = await transformers.Gemma4ForCausalLM.from_pretrained(bundle, { device });
}

/** Load a bundle with its towers, and its processor. */
export async function load(bundle: string): Promise<void> {
  const { AutoProcessor, Gemma4ForConditionalGeneration } = transformers;
  globalThis.processor = await AutoProcessor.from_pretrained(bundle);
  globalThis.model = await Gemma4ForConditionalGeneration.from_pretrained(bundle, { device: "wasm" });
}

const integers = (values: readonly number[]): Library.Tensor =>
  new transformers.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);

/** Return the ids after a prompt, and the milliseconds of each. */
export async function run([prompt, steps]: [number[], number]): Promise<{ ids: number[]; times: number[] }> {
  const ids: number[] = [];
  const times: number[] = [];
  const start = performance.now();
  class Recorder extends transformers.BaseStreamer {
    override put(value: bigint[][]): void {
      const [first] = value;
      // More than one id: the prompt.
      if (first?.length !== 1) return;
      times.push(performance.now() - start);
      ids.push(Number(first[0]));
    }
    override end(): void {}
  }
  await model.generate({
    input_ids: integers(prompt),
    attention_mask: integers(prompt.map(() => 1)),
    do_sample: false,
    max_new_tokens: steps,
    // No id ends it, as in gemtab's run.
    eos_token_id: [-1],
    streamer: new Recorder(),
  } as never);
  return { ids, times };
}

/** Return an image of colour waves. */
function image([width, height]: [number, number]): Library.RawImage {
  const wave = (i: number) =>
    127 * (1 + Math.sin(((((i % 3) + 1) * ((i / 3) % width)) / 19 + i / 3 / width / 7) as number));
  const data = Uint8ClampedArray.from({ length: width * height * 3 }, (_, i) => wave(i));
  return new transformers.RawImage(data, width, height, 3);
}

/** A rising tone. */
const tone = (samples: number): Float32Array =>
  Float32Array.from({ length: samples }, (_, i) => 0.3 * Math.sin((i * (200 + i / 90)) / 2500));

type Plain = { shape: number[]; bytes: string } | undefined;

const plain = (tensor: Library.Tensor | undefined): Plain =>
  tensor && { shape: tensor.dims, bytes: base64Of(new Uint8Array((tensor.data as Float32Array).buffer)) };

/** Ask about images of these sizes and audio of `samples` samples. Returns all inputs, and the chosen ids. */
export async function ask([question, sizes, samples, steps]: [string, [number, number][], number, number]): Promise<
  Record<string, unknown>
> {
  const content = [
    ...sizes.map(() => ({ type: "image" })),
    ...(samples ? [{ type: "audio" }] : []),
    { type: "text", text: question },
  ];
  const messages = [{ role: "user", content }] as unknown as Library.Message[];
  const prompt = processor.apply_chat_template(messages, { add_generation_prompt: true });
  const inputs = await processor(prompt, sizes.length ? sizes.map(image) : null, samples ? tone(samples) : null, {
    add_special_tokens: false,
  });
  const all = (await model.generate({ ...inputs, do_sample: false, max_new_tokens: steps } as never)) as Library.Tensor;
  const length = inputs.input_ids.dims[1];
  const { pixel_values, image_position_ids, input_features, input_features_mask } = inputs;
  return {
    ids: Array.from(inputs.input_ids.data, Number),
    chosen: Array.from(all.data, Number).slice(length),
    pixels: plain(pixel_values),
    positions: plain(image_position_ids),
    audio: plain(input_features),
    mask: plain(input_features_mask),
  };
}
