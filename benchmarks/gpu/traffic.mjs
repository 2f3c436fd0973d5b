/**
 * The bytes that a dispatch reads, as benchmarks/traffic.py counts them from a bundle's plans. Here its expressions are
 * evaluated; the rule stands there alone.
 */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Counts of a plan. counts: [{ kernel, buffers, weights, cache, issued }], of each kind of dispatch. */
export class Traffic {
  #counts = new Map();
  #buffers = new Set();

  constructor(counts) {
    for (const count of counts) {
      this.#counts.set(key(count.kernel, count.buffers), count);
      for (const name of count.buffers) this.#buffers.add(name);
    }
  }

  /**
   * Of a recorded dispatch in a step of T tokens after P. bytes: of weights and caches, each counted once; issued: the
   * same, keys and values as often as workgroups load them.
   */
  of({ kernel, buffers }, { T, P, C }) {
    const bound = buffers.filter((name) => this.#buffers.has(name));
    const count = this.#counts.get(key(kernel, bound));
    if (!count) return { bytes: 0, issued: 0 };
    const [weights, cache, issued] = [count.weights, count.cache, count.issued].map((one) =>
      evaluate(one, { T, P, C }),
    );
    return { bytes: weights + cache, issued: weights + issued };
  }
}

const key = (kernel, buffers) => [kernel, ...buffers].join(" ");

/** The value of a plan's expression. */
function evaluate(expression, sizes) {
  if (typeof expression === "number") return expression;
  if (typeof expression === "string") return sizes[expression];
  const [operator, ...operands] = expression;
  const [left, right] = operands.map((one) => evaluate(one, sizes));
  return {
    "+": left + right,
    "-": left - right,
    "*": left * right,
    ceildiv: Math.ceil(left / right),
    min: Math.min(left, right),
    max: Math.max(left, right),
  }[operator];
}

/**
 * The counts of a bundle's plans by activation: from `file`, which `python -m benchmarks.traffic BUNDLE FILE` wrote, or
 * from the project's Python. root: the project's folder. Throws Error where there is neither.
 */
export function readTraffic(bundle, file, root) {
  if (file) return JSON.parse(readFileSync(file, "utf8"));
  const own = join(root, ".venv", "bin", "python");
  const python = process.env.PYTHON ?? (existsSync(own) ? own : "python3");
  const ended = spawnSync(python, ["-m", "benchmarks.traffic", bundle], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  if (ended.status === 0) return JSON.parse(ended.stdout);
  const why = (ended.error?.message ?? ended.stderr).trim().split("\n").at(-1);
  throw new Error(
    `${python} could not count bytes (${why}). PYTHON names one that has gemtab; or give --traffic FILE, which ` +
      "`python -m benchmarks.traffic BUNDLE FILE` writes.",
  );
}
