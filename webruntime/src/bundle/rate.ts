/** The rate of a download. */

/** Milliseconds over which the rate is the mean. */
const WINDOW_MS = 3000;

/** Bytes per second over the last few seconds. */
export class Rate {
  #samples: { time: number; total: number }[] = [];

  /** @param now milliseconds of a monotonic clock */
  constructor(now: number) {
    this.#samples.push({ time: now, total: 0 });
  }

  /** Adds the sample of `total` bytes at `now`. Returns the rate in bytes per second. */
  update(total: number, now: number): number {
    this.#samples.push({ time: now, total });
    while (this.#samples.length > 2 && now - (this.#samples[0]?.time ?? now) > WINDOW_MS) this.#samples.shift();
    const oldest = this.#samples[0] ?? { time: now, total };
    return now > oldest.time ? ((total - oldest.total) * 1000) / (now - oldest.time) : 0;
  }
}
