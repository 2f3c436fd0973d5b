/** Measurements with a loaded engine. Seconds and milliseconds are wall time, microseconds GPU time. */

const ROUNDS = 3;
/** Steps before the clock starts, while the first of those in flight come back. */
const WARM_UP = 8;
/** Tokens of the profiled prompt, one chunk of most plans. */
const PROFILED_FILL = 256;

const GREEDY = { temperature: 0, topK: 0, topP: 1, seed: 0 };
/** The settings that Gemma 4 is published with. */
const PUBLISHED = { temperature: 1, topK: 64, topP: 0.95, seed: 7 };

/** The bundle's own settings, or the published ones where it says nothing. */
export async function ownSampling(engine) {
  const config = engine.files.has("generation_config.json") ? await engine.files.json("generation_config.json") : {};
  const { temperature = 1, top_k: topK = PUBLISHED.topK, top_p: topP = PUBLISHED.topP } = config;
  return { temperature, topK, topP, seed: PUBLISHED.seed };
}

/** So many ids that differ from each other, none of them of the first few, which are special. */
function anyIds(count, vocabulary) {
  return Uint32Array.from({ length: count }, (_, index) => 5 + ((index * 7919 + 104_729) % (vocabulary - 10)));
}

async function prompt(engine, tokens) {
  engine.reset();
  await engine.fill(anyIds(tokens, engine.vocabulary));
}

/** Tokens a second of a prompt: the best of three rounds. */
export async function measureFill(engine, tokens) {
  const seconds = [];
  for (let round = 0; round < ROUNDS; round++) {
    const begin = performance.now();
    await prompt(engine, tokens);
    seconds.push((performance.now() - begin) / 1000);
  }
  return { tokens, seconds, tokensPerSecond: tokens / Math.min(...seconds) };
}

/** Tokens a second of an answer of `steps` tokens after a prompt of `position`. */
export async function measureDecode(engine, position, steps, sampling = GREEDY) {
  await prompt(engine, position);
  engine.setSampling(sampling);
  const stamps = [];
  for await (const _ of engine.decode(7, { maxTokens: steps + WARM_UP })) stamps.push(performance.now());
  engine.setSampling(GREEDY);
  const ms = (stamps.at(-1) - stamps[WARM_UP - 1]) / (stamps.length - WARM_UP);
  return { position, steps, sampled: sampling.temperature > 0, ms, tokensPerSecond: 1000 / ms };
}

const PROFILES = { fill: PROFILED_FILL, decode: 1, sampled: 1 };

export const PROFILE_NAMES = Object.keys(PROFILES);

/**
 * GPU time of one step after a prompt of `position`, by kernels. name: "fill" of up to 256 tokens, "decode" or
 * "sampled". us: of the step as the engine runs it; kernels: { kernel, count, us, bytes, issued }, of each dispatch in a pass of
 * its own, slowest first.
 */
export async function profile(engine, recorder, traffic, name, position, sampling) {
  const tokens = PROFILES[name];
  const step = async () => {
    await prompt(engine, position);
    engine.setSampling(name === "sampled" ? sampling : GREEDY);
    return () => (name === "fill" ? engine.fill(anyIds(tokens, engine.vocabulary)) : decodeOne(engine));
  };
  await (await step())();
  const passes = [];
  for (let round = 0; round < ROUNDS; round++) passes.push(await recorder.record("passes", await step()));
  const dispatches = await recorder.record("dispatches", await step());
  engine.setSampling(GREEDY);
  const us = Math.min(...passes.map((found) => found.reduce((sum, pass) => sum + pass.us, 0)));
  const sizes = { T: tokens, P: position, C: engine.context };
  const found = dispatches.map((dispatch) => ({ ...dispatch, ...traffic.of(dispatch, sizes) }));
  return { name, tokens, position, us, kernels: byKernel(found), dispatches: found.map(brief) };
}

async function decodeOne(engine) {
  for await (const _ of engine.decode(7, { maxTokens: 1, depth: 1 }));
}

function byKernel(dispatches) {
  const kernels = new Map();
  for (const { kernel, us, bytes, issued } of dispatches) {
    const row = kernels.get(kernel) ?? { kernel, count: 0, us: 0, bytes: 0, issued: 0 };
    const sums = { us: row.us + us, bytes: row.bytes + bytes, issued: row.issued + issued };
    kernels.set(kernel, { kernel, count: row.count + 1, ...sums });
  }
  return [...kernels.values()].sort((a, b) => b.us - a.us);
}

function brief({ kernel, label, grid, us, bytes, issued }) {
  return { kernel, label, grid, us, bytes, issued };
}
