/** Samples tokens one by one, several steps ahead of the ids that were read back. */

import { DECODE } from "../bundle/facts.gen.ts";
import { ContextError, throwIfAborted, UsageError } from "../errors.ts";
import type { Sampling } from "../messages.ts";
import { kept } from "../patience.ts";
import type { DecodeOptions } from "./interface.ts";
import { WordReadback } from "./readback.ts";
import type { TextRunner } from "./text-runner.ts";

/** Steps in flight by default: enough to hide the read-back of an id. More steps are more work to take back. */
const DEFAULT_DEPTH = 3;
/** Most steps in flight. */
const MAX_DEPTH = 8;
const WORD = 4;

/** Decodes with the text model `text`, from the position of its caches on. Greedy before `setSampling`. */
export class Decoder {
  readonly #readback: WordReadback;
  /** Ids sampled so far. The GPU counts them too, and derives its random numbers from the count. */
  #sampled = 0;

  constructor(private readonly text: TextRunner) {
    this.#readback = new WordReadback(text.runner.device, Math.min(MAX_DEPTH, text.caches.slack + 1));
    this.setSampling({ temperature: 0, topK: 0, topP: 1, seed: 0 });
  }

  /** Sets how further ids are chosen, and restarts the count. Temperature 0 is greedy; topK 0 and topP 1 keep all ids. */
  setSampling({ temperature, topK, topP, seed }: Sampling): void {
    this.restart();
    const words = new ArrayBuffer(4 * WORD);
    new Float32Array(words, 0, 1)[0] = temperature;
    new Uint32Array(words, WORD, 1)[0] = topK;
    new Float32Array(words, 2 * WORD, 1)[0] = topP;
    new Uint32Array(words, 3 * WORD, 1)[0] = seed;
    this.text.runner.buffers.writeControl("sampling", words);
  }

  /** Counts samples from 0 again. */
  restart(): void {
    this.#sampled = 0;
  }

  /** Puts `id` into the caches, samples the next id, and so on: see `TextEngine.decode`. */
  async *run(
    id: number,
    { signal, maxTokens = Number.POSITIVE_INFINITY, depth = DEFAULT_DEPTH }: DecodeOptions = {},
  ): AsyncGenerator<number, void, void> {
    const { text } = this;
    const { runner, caches } = text;
    const end = runner.work.begin("decode");
    const start = caches.position;
    const firstSample = this.#sampled;
    let steps = Math.min(maxTokens, caches.context - start);
    // With embeddings on the host, the next step needs the row of an id that must first be read back.
    const ahead = text.hostEmbeddings ? 1 : Math.max(1, Math.min(depth, this.#readback.size));
    const inFlight: Promise<number>[] = [];
    let submitted = 0;
    let given = 0;
    let last = id;
    try {
      if (steps > 0) text.writeStep(Uint32Array.of(id), firstSample);
      while (given < steps) {
        throwIfAborted(signal);
        while (inFlight.length < ahead && submitted < steps) {
          try {
            await this.#submit(last, start + submitted, firstSample + submitted, inFlight);
          } catch (error) {
            // The generator ends as at the end of the context: ids that were yielded stay.
            if (submitted === 0 || !(error instanceof ContextError)) throw error;
            steps = submitted;
            break;
          }
          submitted++;
        }
        if (inFlight.length === 0) break;
        const sampled = await runner.work.settled(inFlight.shift() as Promise<number>);
        throwIfAborted(signal);
        given++;
        caches.advance(1);
        this.#sampled = firstSample + given;
        last = sampled;
        yield sampled;
      }
    } finally {
      // Steps that ran ahead wrote rows after the position. The next step overwrites them.
      await Promise.allSettled(inFlight);
      end();
    }
  }

  /**
   * Submits a step whose input is already on the GPU, and adds the id that it samples to `inFlight`.
   *
   * @param id the step's input; only the rows of embeddings on the host depend on it
   * @param sample the number of the sample, from 0
   */
  async #submit(id: number, position: number, sample: number, inFlight: Promise<number>[]): Promise<void> {
    const { runner, plan } = this.text;
    let read: (() => Promise<number>) | undefined;
    const { accepted } = await this.text.run(DECODE, Uint32Array.of(id), position, (encoder) => {
      const offset = (sample % plan.sampled_ring) * WORD;
      read = this.#readback.encode(encoder, runner.buffers.control("sampled"), offset);
    });
    // A rejected step fails the pair: the word that its read returns is an old one.
    inFlight.push(kept(Promise.all([read?.() ?? 0, accepted]).then(([sampled]) => sampled)));
  }

  /** The last step's logits [vocabulary], f32. Throws UsageError if the plan's `decode` has no logits. */
  async readLogits(): Promise<Float32Array> {
    const { runner, plan } = this.text;
    const output = plan.programs.decode?.outputs.logits;
    if (!output) throw new UsageError("The plan's decode program has no output called logits.");
    return runner.read(output, plan.vocabulary);
  }
}
