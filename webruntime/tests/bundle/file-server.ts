/** A static HTTP server for tests, on a free port. */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Files } from "./toy-bundle.ts";

export interface FileServer {
  url: string;
  /** The served files, by path. Tests damage them. */
  files: Files;
  /** Path and Range header of each request so far. */
  requests: { path: string; range: string | undefined }[];
  /** Files of which the server sends half and then nothing. */
  stalled: Set<string>;
  close(): Promise<void>;
}

/** @param ranges whether the server honours Range requests, or sends whole files instead */
export async function serveFiles(files: Files, { ranges = true } = {}): Promise<FileServer> {
  const requests: FileServer["requests"] = [];
  const stalled = new Set<string>();
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const path = (request.url ?? "").slice(1);
    const { range } = request.headers;
    requests.push({ path, range });
    const data = files.get(path);
    if (!data) return response.writeHead(404).end();
    const [, first, last] = (ranges && /^bytes=(\d+)-(\d+)$/.exec(range ?? "")) || [];
    const part = first ? data.subarray(Number(first), Number(last) + 1) : data;
    response.writeHead(first ? 206 : 200, { "content-length": part.length });
    if (stalled.has(path)) return response.write(part.subarray(0, part.length / 2));
    return response.end(part);
  };
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  return { url: `http://127.0.0.1:${port}/`, files, requests, stalled, close };
}
