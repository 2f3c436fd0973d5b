/** Starts the worker under any policy of the page. */

import { brief } from "../brief.ts";
import { causeOf, InternalError, UsageError } from "../errors.ts";

/** The policy's name, with which a page allows the worker's address: `trusted-types gemtab`. */
const POLICY = "gemtab";

/** The parts of the Trusted Types API that are used here. */
interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}

/** A started worker, and the errors before its first message. */
export interface StartedWorker {
  /** The worker. */
  worker: Worker;
  /** Resolves with the worker's first message. */
  started: Promise<void>;
  /** Rejects with UsageError or InternalError where the script cannot be loaded or fails. Never resolves. */
  broken: Promise<never>;
}

/**
 * Start the worker. Browsers start a worker only from the page's own origin, but a worker from a blob: or data: address
 * may import scripts that another origin allows. A page without an origin, such as a sandboxed frame, needs a data:
 * address: Chromium has no WebGPU in such a page's worker from a blob.
 *
 * @throws UsageError where the page's policies block the worker at once
 */
export function startWorker(script: string): StartedWorker {
  if (typeof Worker === "undefined") {
    throw new UsageError("gemtab runs models only in browsers. Elsewhere its package can be imported, but not used.");
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

/** How a worker runs the script: from its own address, or by an import in a generated script. */
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

/** Return a classic script that imports a module. It keeps messages that come before the module is loaded. */
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

/**
 * Return the address in the form that Trusted Types require. Where the policy `gemtab` is not allowed, the page's
 * default policy may allow it.
 */
function trusted(address: string): string {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  try {
    policy ??= trustedTypes?.createPolicy(POLICY, { createScriptURL: (url) => url });
  } catch {
    return address;
  }
  return policy?.createScriptURL(address) ?? address;
}

/** Record violations of the page's content security policy; the worker's error event does not report them. */
function watchPolicy(): { found: string[]; stop(): void } {
  const found: string[] = [];
  const listen = ({ effectiveDirective }: SecurityPolicyViolationEvent) => found.push(effectiveDirective);
  globalThis.document?.addEventListener("securitypolicyviolation", listen);
  return { found, stop: () => globalThis.document?.removeEventListener("securitypolicyviolation", listen) };
}

/** Return the reason why a worker did not run, and advice. */
async function failure(script: string, scheme: Scheme, message: string, blocked: readonly string[]): Promise<Error> {
  const what = "The worker of gemtab could not run:";
  const { origin } = new URL(script);
  const own = scheme === "own";
  const source = own ? "'self'" : `${scheme} ${origin}`;
  const directive = blocked.find((name) => /^(worker|child|script)-src/.test(name));
  if (directive) {
    return new UsageError(
      `${what} the page's content security policy blocks it by ${directive}. Allow worker-src ${source}.`,
    );
  }
  // The script itself failed.
  if (own && message) return new InternalError(`${what} ${brief(message, 200)}`);
  if (own) return new UsageError(`${what} ${await whyNot(script)}`);
  return new UsageError(
    `${what} its script did not load from ${script}${message && ` (${message})`}. ${origin} must allow that ` +
      "(Access-Control-Allow-Origin), and so must the page's content security policy where it has one (script-src " +
      `${origin}; worker-src ${source}).`,
  );
}

/** Fetch the script as a file, which gives more details than a worker's error event. */
async function whyNot(script: string): Promise<string> {
  const what = `its script did not load from ${script}`;
  const copied = 'Copy the file there, or name its folder, as in Gemma.load(url, { assets: "/gemtab/" }).';
  const response = await fetch(script).catch(() => undefined);
  if (!response) return `${what}. Check the connection and try again.`;
  await response.body?.cancel();
  if (!response.ok) return `${what} (HTTP ${response.status}). ${copied}`;
  const type = response.headers.get("Content-Type") ?? "";
  if (!/javascript|ecmascript/i.test(type)) return `${what}, which is not a script, but "${type}". ${copied}`;
  const embedder = "Cross-Origin-Embedder-Policy";
  if (response.headers.has(embedder)) return `${what}. Reload the page.`;
  const certain = globalThis.crossOriginIsolated ? "The page is" : "Perhaps the page is";
  return `${what}. ${certain} sent with the header ${embedder}, and its workers' scripts must be sent with it too.`;
}
