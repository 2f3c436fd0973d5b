/** Bytes per second over the last few seconds. */

const WINDOW_MS = 3000;

export class Rate {
  #samples: { time: number; total: number }[] = [];

  /** @param now milliseconds of a clock that never goes back */
  constructor(now: number) {
    this.#samples.push({ time: now, total: 0 });
  }

  /** The rate, given that `total` bytes were there at `now`. */
  update(total: number, now: number): number {
    this.#samples.push({ time: now, total });
    while (this.#samples.length > 2 && now - (this.#samples[0]?.time ?? now) > WINDOW_MS) this.#samples.shift();
    const oldest = this.#samples[0] ?? { time: now, total };
    return now > oldest.time ? ((total - oldest.total) * 1000) / (now - oldest.time) : 0;
  }
}
