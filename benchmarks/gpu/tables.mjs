/** Tables for a terminal. */

/** Lines of columns, the first flush left. */
export function table(headings, rows) {
  const cells = [headings, ...rows].map((row) => row.map(String));
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  const pad = (cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]));
  return cells.map((row) => `  ${row.map(pad).join("  ")}`.trimEnd()).join("\n");
}

export const gigabytes = (bytes) => (bytes / 1e9).toFixed(2);
/** GB/s of bytes in microseconds. */
export const rate = (bytes, us) => (us > 0 && bytes > 0 ? (bytes / us / 1000).toFixed(0) : "");

export function describe({ vendor, architecture, device, driver, subgroups, features }) {
  const known = features.filter((name) => /f16|subgroup|timestamp|matrix/.test(name)).join(" ");
  return `${[vendor, architecture, device].filter(Boolean).join(" ")}, driver ${driver}\nsubgroups of ${subgroups.join(" to ")}; ${known}`;
}

export function fillTable(fills) {
  const rows = fills.map(({ tokens, seconds, tokensPerSecond }) => [
    tokens,
    (1000 * Math.min(...seconds)).toFixed(1),
    tokensPerSecond.toFixed(0),
  ]);
  return table(["prompt", "ms", "tokens/s"], rows);
}

export function decodeTable(decodes) {
  const rows = decodes.map(({ position, sampled, ms, tokensPerSecond }) => [
    position,
    sampled ? "sampled" : "greedy",
    ms.toFixed(2),
    tokensPerSecond.toFixed(1),
  ]);
  return table(["answer at", "choice", "ms", "tokens/s"], rows);
}

export function expectedTable(compared) {
  const rows = compared.map(({ prompt, steps, free, forced, difference, repeated }) => [
    prompt,
    `${free}/${steps}`,
    `${forced}/${steps}`,
    // JSON has no NaN.
    difference === null ? "NaN" : difference.toExponential(1),
    repeated ? "same" : "DIFFERS",
  ]);
  return table(["prompt", "greedy equal", "forced equal", "largest logit difference", "second answer"], rows);
}

function total(kernel, rows) {
  const sum = (key) => rows.reduce((sum, row) => sum + row[key], 0);
  return { kernel, count: sum("count"), us: sum("us"), bytes: sum("bytes"), issued: sum("issued") };
}

/** Kernels of one profiled step; `most` of them, the rest in one line. copy: GB/s of copies, or undefined. */
export function profileTable({ name, tokens, position, us, kernels }, copy, most = 14) {
  const line = ({ kernel, count, us, bytes, issued }) => [
    kernel,
    count,
    us.toFixed(1),
    (us / count).toFixed(1),
    (bytes / 1e6).toFixed(1),
    (issued / 1e6).toFixed(1),
    rate(bytes, us),
  ];
  const rest = kernels.slice(most);
  const others = total(`${rest.length} others`, rest);
  const all = total("all, one by one", kernels);
  const whole = [
    "the step as it runs",
    "",
    us.toFixed(1),
    "",
    (all.bytes / 1e6).toFixed(1),
    (all.issued / 1e6).toFixed(1),
    rate(all.bytes, us),
  ];
  const lines = [...kernels.slice(0, most), ...(rest.length ? [others] : []), all].map(line);
  const beside = copy ? `, beside copies of ${copy.toFixed(0)} GB/s` : "";
  const heading = `${name}: ${tokens} token${tokens > 1 ? "s" : ""} after ${position}${beside}`;
  return `${heading}\n${table(["kernel", "count", "us", "us each", "MB", "MB issued", "GB/s"], [...lines, whole])}`;
}
