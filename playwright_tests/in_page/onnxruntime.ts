/** Runs a bundle's graphs in onnxruntime-web, as a page could run them without gemtab. */

import type * as Runtime from "onnxruntime-web";

/** A graph's file, then its data files. */
type Graph = [string, ...string[]];

/** Return the greedy ids after a prompt, by the graphs of embedding and decoder. */
export async function answer([embedGraph, decoderGraph, prompt, steps]: [Graph, Graph, number[], number]): Promise<
  number[]
> {
  const ort: typeof Runtime = await import(new URL("/runtime/ort.wasm.min.mjs", location.href).href);
  ort.env.wasm.numThreads = 1;
  const open = ([path, ...data]: Graph) =>
    ort.InferenceSession.create(`/bundle/${path}`, {
      executionProviders: ["wasm"],
      externalData: data.map((file) => ({ path: file.split("/").at(-1) ?? "", data: `/bundle/${file}` })),
    });
  const [embed, decoder] = [await open(embedGraph), await open(decoderGraph)];
  const integers = (values: readonly number[], shape: number[]) =>
    new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);
  const empty = (metadata: Runtime.InferenceSession.ValueMetadata) => {
    if (!metadata.isTensor) throw new Error(`${metadata.name} is no tensor.`);
    const [, heads, , width] = metadata.shape as number[];
    return [metadata.name, new ort.Tensor("float32", [], [1, heads ?? 0, 0, width ?? 0])] as const;
  };
  const pastInputs = decoder.inputMetadata.filter(({ name }) => name.startsWith("past"));
  let past: Record<string, Runtime.Tensor> = Object.fromEntries(pastInputs.map(empty));
  const chosen: number[] = [];
  for (let next = prompt, length = 0; chosen.length < steps; next = chosen.slice(-1)) {
    const positions = next.map((_, index) => length + index);
    length += next.length;
    const { logits, ...present } = await decoder.run({
      ...(await embed.run({ input_ids: integers(next, [1, next.length]) })),
      ...past,
      attention_mask: integers(Array<number>(length).fill(1), [1, length]),
      position_ids: integers(positions, [1, next.length]),
      num_logits_to_keep: integers([1], []),
    });
    past = Object.fromEntries(
      Object.entries(present).map(([name, value]) => [name.replace("present", "past_key_values"), value]),
    );
    chosen.push(greatest(logits?.data as Float32Array));
  }
  return chosen;
}

const greatest = (values: Float32Array): number =>
  values.reduce((best, value, index) => (value > (values[best] ?? 0) ? index : best), 0);
