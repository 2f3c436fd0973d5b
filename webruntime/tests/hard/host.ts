/** A static host, and its possible faults. */

import { createReadStream, readFileSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { gzipSync } from "node:zlib";

/** A fault of a host: the file, or all files (`*`), and how the response is wrong. */
export interface HostFault {
  file: string;
  fault: string;
  status?: number;
}

const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
};
const BOMB_MEMBERS = 16;

type Send = (request: IncomingMessage, response: ServerResponse, path: string, size: number) => unknown;

const FAULTS: Record<string, Send> = {
  cut: (_, response, path, size) => {
    response.writeHead(200, { "content-length": size });
    response.write(readFileSync(path).subarray(0, size / 2), () => response.destroy());
  },
  longer: (_, response, path, size) => {
    response.writeHead(200, { "content-length": size + 100 });
    response.write(readFileSync(path), () => response.destroy());
  },
  shorter: (_, response, path, size) => {
    response.writeHead(200, { "content-length": Math.max(0, size - 10) });
    response.end(readFileSync(path).subarray(0, Math.max(0, size - 10)));
  },
  more: (_, response, path) => {
    response.writeHead(200);
    response.write(readFileSync(path));
    response.end("more than there is");
  },
  encoding: (_, response, path) => {
    response.writeHead(200, { "content-encoding": "gzip" });
    response.end(readFileSync(path));
  },
  bomb: (_, response) => {
    response.writeHead(200, { "content-encoding": "gzip" });
    const member = gzipSync(Buffer.alloc(64 << 20));
    for (let sent = 0; sent < BOMB_MEMBERS; sent++) response.write(member);
    response.end();
  },
  html: (_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><p>Sign in</p>"),
  empty: (_, response) => response.writeHead(200).end(),
  reset: (request) => request.socket.resetAndDestroy(),
  redirect: (request, response) => response.writeHead(302, { location: request.url }).end(),
  elsewhere: (_, response) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
  garbage: (request) => request.socket.end("HTTP/1.1 two hundred\r\n\r\n"),
  chunks: (request) => request.socket.end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nnot a chunk\r\n"),
  silent: () => undefined,
  half: (_, response, path, size) => {
    response.writeHead(200, { "content-length": size });
    response.write(readFileSync(path).subarray(0, size / 2));
  },
  slow: (_, response, path, size) => {
    response.writeHead(200, { "content-length": size });
    const content = readFileSync(path);
    let at = 0;
    const timer = setInterval(() => response.write(content.subarray(at, ++at)), 50);
    response.on("close", () => clearInterval(timer));
  },
  whole: (_, response, path, size) => response.writeHead(206, { "content-length": size }).end(readFileSync(path)),
};

/**
 * Serve files at a free port of this machine. Resolves to the address, with a slash at its end.
 *
 * @param pathOf the file of an address's path, if there is one
 * @param faultOf the fault of the response
 */
export async function serveFiles(
  pathOf: (path: string) => string | undefined,
  faultOf: (path: string) => HostFault | undefined,
): Promise<string> {
  const server = createServer((request, response) => {
    const asked = decodeURIComponent((request.url ?? "/").replace(/[?#].*/, "")).slice(1);
    const path = pathOf(asked);
    const size = path === undefined ? undefined : sizeOf(path);
    const fault = faultOf(asked);
    response.setHeader("access-control-allow-origin", "*");
    if (fault?.status) return response.writeHead(fault.status).end();
    if (path === undefined || size === undefined) return response.writeHead(404).end();
    return ((fault && FAULTS[fault.fault]) || send)(request, response, path, size);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

function sizeOf(path: string): number | undefined {
  try {
    const status = statSync(path);
    return status.isFile() ? status.size : undefined;
  } catch {
    return undefined;
  }
}

function send(request: IncomingMessage, response: ServerResponse, path: string, size: number): void {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
  const end = Math.min(Number(last ?? size - 1), size - 1);
  const start = Number(first ?? 0);
  response.setHeader("content-type", TYPES[extname(path)] ?? "application/octet-stream");
  if (first !== undefined && start >= size) return void response.writeHead(416).end();
  response.writeHead(first === undefined ? 200 : 206, { "content-length": Math.max(0, end - start + 1) });
  if (end < start) return void response.end();
  createReadStream(path, { start, end })
    .on("error", () => response.destroy())
    .pipe(response);
}

/** Return a path below a folder, or undefined for a path outside it. */
export function below(folder: string, path: string): string | undefined {
  const whole = join(folder, path);
  return whole.startsWith(`${folder}/`) && !path.includes("\0") ? whole : undefined;
}

/** The faults besides the files, which the mutator wrote into a folder. */
export interface Faults {
  host?: HostFault;
  device?: DeviceFault;
}

/**
 * A failing call to WebGPU, counted from 0. `lost` loses the device; any other name is the error that the call throws
 * or rejects with.
 */
export interface DeviceFault {
  call: string;
  after: number;
  fault: string;
}

export function readFaults(folder: string): Faults {
  try {
    return JSON.parse(readFileSync(join(folder, ".faults.json"), "utf8")) as Faults;
  } catch {
    return {};
  }
}

export function faultFor({ host }: Faults, file: string): HostFault | undefined {
  return host && (host.file === "*" || host.file === file) ? host : undefined;
}
