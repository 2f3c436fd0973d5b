/** Whether this GPU computes what the reference does: tokens and logits beside those of a file of expected ones. */

/** The float32 numbers of a base64 text. */
function floats(base64) {
  const bytes = Buffer.from(base64, "base64");
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

/** NaN where one of the numbers is. */
function largestDifference(found, expected) {
  return expected.reduce((most, value, index) => Math.max(most, Math.abs(found[index] - value)), 0);
}

async function collect(engine, id, options) {
  const ids = [];
  for await (const next of engine.decode(id, options)) ids.push(next);
  return ids;
}

/**
 * Answers one prompt greedily, then once more with the expected tokens given, whatever was chosen.
 *
 * free: the tokens of the greedy answer before the first that is not the expected one. forced: steps that chose the
 * expected token, given the expected ones before it. difference: the largest between logits, where those are known.
 * repeated: whether a second greedy answer was the same.
 */
export async function comparePrompt(engine, { ids, tokens, logits }) {
  const [head, last] = [Uint32Array.from(ids.slice(0, -1)), ids.at(-1)];
  const answers = [];
  for (let round = 0; round < 2; round++) {
    engine.reset();
    await engine.fill(head);
    answers.push(await collect(engine, last, { maxTokens: tokens.length }));
  }
  const wrong = answers[0].findIndex((id, index) => id !== tokens[index]);
  engine.reset();
  await engine.fill(head);
  let forced = 0;
  let difference = 0;
  for (const [step, token] of tokens.entries()) {
    const [chosen] = await collect(engine, step === 0 ? last : tokens[step - 1], { maxTokens: 1, depth: 1 });
    forced += Number(chosen === token);
    const expected = logits[step];
    if (expected) difference = Math.max(difference, largestDifference(await engine.readLogits(), floats(expected)));
  }
  const free = wrong < 0 ? tokens.length : wrong;
  const repeated = answers[0].join() === answers[1].join();
  return { prompt: ids.length, steps: tokens.length, free, forced, difference, repeated };
}
