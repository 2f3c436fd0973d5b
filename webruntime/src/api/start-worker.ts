/** Starting the worker, under whatever policies a page has. */

import { brief } from "../brief.ts";
import { causeOf, InternalError, UsageError } from "../errors.ts";

/** The name by which a page's policy allows the address of the worker: `trusted-types gemtab`. */
const POLICY = "gemtab";

/** Of the Trusted Types API, what is used here. */
interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}

/** A worker, and what goes wrong before its first message. */
export interface StartedWorker {
  worker: Worker;
  /** Resolves with the worker's first message. */
  started: Promise<void>;
  /** Rejects with UsageError or InternalError when the script cannot be loaded or breaks; never resolves. */
  broken: Promise<never>;
}

/**
 * Browsers start a worker from the page's own origin only, but a worker from a blob or a data: address may import what
 * another origin lets it. A page without an origin (a sandboxed frame) needs a data: address: Chromium gives no WebGPU to
 * a worker from a blob there.
 *
 * @throws UsageError where the page's policies refuse it at once
 */
export function startWorker(script: string): StartedWorker {
  if (typeof Worker === "undefined") {
    throw new UsageError("gemtab runs models in browsers; elsewhere its package can be imported only.");
  }
  const scheme = schemeFor(script);
  const own = scheme === "own";
  const address = addressOf(script, scheme);
  const refusals = watchPolicy();
  const worker = create(address, own ? "module" : "classic");
  const settled = () => {
    refusals.stop();
    if (scheme === "blob:") URL.revokeObjectURL(address);
  };
  const started = new Promise<void>((resolve) => {
    worker.addEventListener(
      "message",
      () => {
        settled();
        resolve();
      },
      { once: true },
    );
  });
  const broken = new Promise<never>((_, reject) => {
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      settled();
      void failure(script, scheme, event.message, refusals.found).then(reject);
    });
  });
  return { worker, started, broken };
}

/** How a script comes to be a worker: by its own address, or imported by one that is made here. */
type Scheme = "own" | "blob:" | "data:";

function schemeFor(script: string): Scheme {
  const { origin } = new URL(script);
  if (globalThis.origin === "null") return "data:";
  return origin === globalThis.origin ? "own" : "blob:";
}

function addressOf(script: string, scheme: Scheme): string {
  if (scheme === "own") return script;
  const type = "text/javascript";
  if (scheme === "data:") return `data:${type},${encodeURIComponent(importing(script))}`;
  return URL.createObjectURL(new Blob([importing(script)], { type }));
}

/** A classic script that imports a module. Messages that come before the module is there are kept for it. */
function importing(script: string): string {
  return `
    const early = [];
    const keep = ({ data }) => early.push(data);
    addEventListener("message", keep);
    import(${JSON.stringify(script)}).then(
      () => {
        removeEventListener("message", keep);
        for (const data of early) dispatchEvent(new MessageEvent("message", { data }));
      },
      (error) => setTimeout(() => { throw error; }),
    );`;
}

function create(address: string, type: WorkerType): Worker {
  try {
    return new Worker(trusted(address), { type, name: "gemtab" });
  } catch (error) {
    throw new UsageError(`The worker of gemtab could not be started: ${causeOf(error)}. ${advice(error)}`);
  }
}

function advice(error: unknown): string {
  if (error instanceof TypeError) {
    return `A content security policy with require-trusted-types-for must allow the policy ${POLICY} (trusted-types ${POLICY}).`;
  }
  return "Browsers start no worker from a file: serve the page over HTTP.";
}

let policy: ReturnType<TrustedTypes["createPolicy"]> | undefined;

/** The address as pages with Trusted Types want it. Where `gemtab` is no policy that may be, their default one may do. */
function trusted(address: string): string {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  try {
    policy ??= trustedTypes?.createPolicy(POLICY, { createScriptURL: (url) => url });
  } catch {
    return address;
  }
  return policy?.createScriptURL(address) ?? address;
}

/** Listens for what the page's content security policy refuses; browsers tell the worker's error event nothing of it. */
function watchPolicy(): { found: string[]; stop(): void } {
  const found: string[] = [];
  const listen = ({ effectiveDirective }: SecurityPolicyViolationEvent) => found.push(effectiveDirective);
  globalThis.document?.addEventListener("securitypolicyviolation", listen);
  return { found, stop: () => globalThis.document?.removeEventListener("securitypolicyviolation", listen) };
}

/** Why a worker did not run, and what to do. */
async function failure(script: string, scheme: Scheme, message: string, refused: readonly string[]): Promise<Error> {
  const what = "The worker of gemtab could not run:";
  const { origin } = new URL(script);
  const own = scheme === "own";
  const source = own ? "'self'" : `${scheme} ${origin}`;
  const directive = refused.find((name) => /^(worker|child|script)-src/.test(name));
  if (directive) {
    return new UsageError(
      `${what} the page's content security policy refuses it by ${directive}. Allow worker-src ${source}.`,
    );
  }
  // Something in the script itself.
  if (own && message) return new InternalError(`${what} ${brief(message, 200)}`);
  if (own) return new UsageError(`${what} ${await whyNot(script)}`);
  return new UsageError(
    `${what} its script did not load from ${script}${message && ` (${message})`}. ${origin} must allow that ` +
      "(Access-Control-Allow-Origin), and so must the page's content security policy where it has one (script-src " +
      `${origin}; worker-src ${source}).`,
  );
}

/** Asks for the script as a file, which tells more than a worker's error event. */
async function whyNot(script: string): Promise<string> {
  const what = `its script did not load from ${script}`;
  const copied = 'Copy the file there, or name its folder, as in Gemma.load(url, { assets: "/gemtab/" }).';
  const response = await fetch(script).catch(() => undefined);
  if (!response) return `${what}. Check the connection and try again.`;
  await response.body?.cancel();
  if (!response.ok) return `${what} (HTTP ${response.status}). ${copied}`;
  const type = response.headers.get("Content-Type") ?? "";
  if (!/javascript|ecmascript/i.test(type)) return `${what}, which is no script but "${type}". ${copied}`;
  const embedder = "Cross-Origin-Embedder-Policy";
  if (response.headers.has(embedder)) return `${what}. Reload the page.`;
  const certain = globalThis.crossOriginIsolated ? "The page is" : "Perhaps the page is";
  return `${what}. ${certain} sent with the header ${embedder}, and its workers' scripts must be sent with it too.`;
}
