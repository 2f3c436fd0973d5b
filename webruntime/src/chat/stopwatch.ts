/** Measures the times of one answer. */

import type { ChatStats } from "../messages.ts";

/** Measures one answer. now: the clock, in milliseconds. A rate or time is 0 where there was nothing to measure. */
export class Stopwatch {
  readonly #now: () => number;
  readonly #start: number;
  #firstId = 0;
  #lastId = 0;
  #answerTokens = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#start = now();
  }

  /** Count one id. */
  id(): void {
    this.#lastId = this.#now();
    if (this.#answerTokens++ === 0) this.#firstId = this.#lastId;
  }

  /** Return the statistics of the answer so far. */
  stats(promptTokens: number, reusedTokens: number, contextUsed: number): ChatStats {
    const firstTokenSeconds = this.#answerTokens > 0 ? (this.#firstId - this.#start) / 1000 : 0;
    const answering = (this.#lastId - this.#firstId) / 1000;
    return {
      promptTokens,
      reusedTokens,
      answerTokens: this.#answerTokens,
      firstTokenSeconds,
      promptTokensPerSecond: rate(promptTokens - reusedTokens, firstTokenSeconds),
      tokensPerSecond: rate(this.#answerTokens - 1, answering),
      contextUsed,
    };
  }
}

function rate(count: number, seconds: number): number {
  return count > 0 && seconds > 0 ? count / seconds : 0;
}
