/**
 * The bytes that a dispatch reads, from the plan: those of the weights that it binds (of tables that are looked up, a
 * row a token; of experts, the active ones) and of the keys and values that it attends to, each counted once.
 *
 * benchmarks/plans.py counts the same for one token without a GPU.
 */

/** How weights and caches of a bundle's plan are read. */
export class Traffic {
  #plan;
  /** Active experts, of all; 1 where the model has none. */
  #share;

  /** config: the bundle's config.json. */
  constructor(plan, config) {
    this.#plan = plan;
    const { num_experts: experts, top_k_experts: active } = config.text_config ?? config;
    this.#share = experts && active ? active / experts : 1;
  }

  /** Bytes that a recorded dispatch reads in a step of T tokens after P. */
  bytes({ kernel, buffers }, { T, P }) {
    let weights = 0;
    let cache = 0;
    for (const [index, label] of buffers.entries()) {
      const buffer = this.#plan.buffers[label];
      if (buffer?.kind === "weight") weights += this.#weight(kernel, buffer.bytes, T);
      const read = this.#plan.kernels[kernel]?.bindings[index] === "read";
      if (buffer?.kind === "state" && read) cache += liveBytes(label, buffer, T, P);
    }
    return weights + cache;
  }

  #weight(kernel, bytes, tokens) {
    // The pieces of a table together count as its rows.
    if (kernel.startsWith("embed.")) return Math.round((bytes * tokens) / this.#plan.vocabulary);
    if (kernel.includes(".experts")) return Math.round(bytes * Math.min(1, this.#share * tokens));
    return bytes;
  }
}

/** Of a cache, or of a segment that begins where its label says, the bytes that the tokens of a step attend to. */
function liveBytes(label, { bytes, ring }, tokens, position) {
  const end = position + tokens;
  if (ring) return Math.round((bytes / ring.rows) * Math.min(end, ring.window + tokens - 1, ring.rows));
  const first = Number(label.split(":")[2] ?? 0);
  const [, rowBytes, rows] = bytes;
  const most = Array.isArray(rows) ? rows[1] : rows;
  return rowBytes * Math.max(0, Math.min(end - first, most));
}
