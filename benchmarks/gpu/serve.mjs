/** A bundle's folder over HTTP, with ranges; weights that the folder lacks are made up (see weights.mjs). */

import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { join, normalize, sep } from "node:path";
import { Readable } from "node:stream";
import { isWeights, MadeUpWeights } from "./weights.mjs";

/** Serves `folder` on a free port of this machine. Gives its address and what ends it. */
export async function serveBundle(folder) {
  const madeUp = new MadeUpWeights(folder);
  const server = createServer((request, response) => answer(folder, madeUp, request, response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}/`, close };
}

function answer(folder, madeUp, request, response) {
  const name = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname)).slice(1);
  const path = join(folder, name);
  const found = path.startsWith(folder + sep) ? statSync(path, { throwIfNoEntry: false }) : undefined;
  const size = found?.isFile() ? found.size : isWeights(name) ? madeUp.bytes(name) : undefined;
  if (size === undefined) return response.writeHead(404).end();
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  const [start, end] = range ? [Number(range[1]), Math.min(Number(range[2]) + 1, size)] : [0, size];
  const headers = { "content-length": end - start };
  if (range) headers["content-range"] = `bytes ${start}-${end - 1}/${size}`;
  response.writeHead(range ? 206 : 200, headers);
  if (size === 0) return response.end();
  const body = found
    ? createReadStream(path, { start, end: end - 1, highWaterMark: 1 << 20 })
    : Readable.from(madeUp.read(name, start, end));
  return body.on("error", (error) => response.destroy(error)).pipe(response);
}
