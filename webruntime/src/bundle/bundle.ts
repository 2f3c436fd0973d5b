/** A bundle on a web host: the manifest, and smaller files verified against the manifest. */

import { brief, shown } from "../brief.ts";
import { BundleError, UsageError } from "../errors.ts";
import { bundleAddress, type FolderAddress } from "./address.ts";
import { readWhole, request } from "./body.ts";
import { MANIFEST_NAME, PARITY_NAME } from "./facts.gen.ts";
import { maxBytes } from "./file-limits.ts";
import type { BundleFiles } from "./files.ts";
import { decodeText, parseJson } from "./json-text.ts";
import { LIMITS } from "./limits.gen.ts";
import { MANIFEST_SCHEMA, type Manifest } from "./manifest.gen.ts";
import { checkManifest } from "./manifest-check.ts";
import { PLAN_SCHEMA, type Plan } from "./plan.gen.ts";
import { checkPlan } from "./plan-check.ts";
import { parse, type Schema } from "./schema.ts";
import { download } from "./slices.ts";

/** Most characters of an address in an error. */
const MAX_ADDRESS = 200;

type PlanEntry = Manifest["plans"][number];

/** The text plans of a bundle with a model that answers: at least one. */
export type Plans = readonly [PlanEntry, ...PlanEntry[]];

/** An opened bundle. Every file is verified against the manifest before it is returned. */
export class Bundle implements BundleFiles {
  private constructor(
    private readonly address: FolderAddress,
    /** The content of gemtab.json. */
    readonly manifest: Manifest,
    /** The text plans, the best first. */
    readonly plans: Plans,
  ) {}

  /**
   * Downloads and checks the manifest.
   *
   * @param url the bundle's folder, or its gemtab.json; relative to this page or worker
   * @throws BundleError for a missing or damaged bundle, UsageError for a draft model alone, and AbortError
   */
  static async open(url: string | URL, signal?: AbortSignal): Promise<Bundle> {
    const address = bundleAddress(url);
    const reply = await request(address.file(MANIFEST_NAME), MANIFEST_NAME, { signal });
    const body = await readWhole(reply, MANIFEST_NAME, LIMITS.MANIFEST_BYTES, signal);
    const json = parseJson(decodeText(body, MANIFEST_NAME), MANIFEST_NAME, brief(address.folder, MAX_ADDRESS));
    const manifest = parseVersioned<Manifest>(MANIFEST_SCHEMA, json, MANIFEST_NAME);
    const plans = answeringPlans(manifest, address.folder);
    checkManifest(manifest);
    return new Bundle(address, manifest, plans);
  }

  /** The folder's address with query and fragment. */
  get url(): string {
    return this.address.href;
  }

  /**
   * The address of a file of the bundle, below the address that was given to `open`. Redirections of other files do not
   * count: hubs redirect each file separately.
   */
  urlOf(file: string): string {
    return this.address.file(file);
  }

  /** Whether the manifest lists a file. */
  has(file: string): boolean {
    return Object.hasOwn(this.manifest.files, file);
  }

  /** The bytes of a file. Throws BundleError for a file that is not listed, too large or altered, and AbortError. */
  async bytes(file: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const entry = this.manifest.files[file];
    if (!entry) throw new BundleError(`The bundle at ${brief(this.url, MAX_ADDRESS)} has no ${file}.`, file);
    const most = maxBytes(file) ?? LIMITS.CONFIG_BYTES;
    if (entry.bytes > most) {
      throw new BundleError(
        `${file} has ${entry.bytes} bytes, and at most ${most} can be read. Export it again.`,
        file,
      );
    }
    const whole = new Uint8Array(entry.bytes);
    const wanted = [{ offset: 0, bytes: entry.bytes }];
    const source = { url: this.urlOf(file), file, entry };
    await download(source, wanted, (offset, bytes) => whole.set(bytes, offset), { signal });
    return whole;
  }

  /** The text of a file. Throws as `bytes` does, and BundleError for bytes that are not UTF-8. */
  async text(file: string, signal?: AbortSignal): Promise<string> {
    return decodeText(await this.bytes(file, signal), file);
  }

  /** The value in a JSON file. Throws as `text` does, and BundleError for text that is no JSON. */
  async json(file: string, signal?: AbortSignal): Promise<unknown> {
    return parseJson(await this.text(file, signal), file, brief(this.address.folder, MAX_ADDRESS));
  }

  /** A plan, checked against the manifest. Throws as `json` does, and BundleError for an invalid plan. */
  async plan(file: string, signal?: AbortSignal): Promise<Plan> {
    const plan = parseVersioned<Plan>(PLAN_SCHEMA, await this.json(file, signal), file);
    checkPlan(plan, this.manifest, file);
    return plan;
  }

  /** The content of parity.json, or null if the bundle has none. Throws as `json` does. */
  async parity(signal?: AbortSignal): Promise<unknown> {
    return this.has(PARITY_NAME) ? this.json(PARITY_NAME, signal) : null;
  }
}

function answeringPlans({ plans, draft, source }: Manifest, folder: string): Plans {
  const [first, ...rest] = plans;
  if (first) return [first, ...rest];
  if (!draft) throw new BundleError(`${MANIFEST_NAME} names neither a plan nor a draft graph. Export it again.`);
  throw new UsageError(
    `The bundle at ${brief(folder, MAX_ADDRESS)} has a draft model alone (${brief(source.name)}), which proposes tokens for ` +
      "its target model and cannot answer without it. Load the bundle of the target model.",
  );
}

/** Checks the format version before the schema: another version may have other fields. */
function parseVersioned<T>(schema: Schema, json: unknown, file: string): T {
  const known = schema.properties?.format?.const;
  const found = (json as { format?: unknown } | null)?.format;
  if (found !== undefined && found !== known) {
    throw new BundleError(
      `${file} has format ${shown(found)}, but this runtime reads format ${known}. Export the bundle again ` +
        "with the version of gemtab that made this page.",
      file,
    );
  }
  return parse<T>(schema, json, file);
}
