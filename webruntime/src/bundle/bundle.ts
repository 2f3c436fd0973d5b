/** A bundle by its address: the manifest, and its smaller files checked against it. */

import { brief, shown } from "../brief.ts";
import { BundleError, UsageError } from "../errors.ts";
import { bundleAddress, type FolderAddress } from "./address.ts";
import { readWhole, request } from "./body.ts";
import { MANIFEST_NAME, PARITY_NAME } from "./facts.gen.ts";
import { mostBytes } from "./file-limits.ts";
import type { BundleFiles } from "./files.ts";
import { decodeText, parseJson } from "./json-text.ts";
import { LIMITS } from "./limits.gen.ts";
import { MANIFEST_SCHEMA, type Manifest } from "./manifest.gen.ts";
import { checkManifest } from "./manifest-check.ts";
import { PLAN_SCHEMA, type Plan } from "./plan.gen.ts";
import { checkPlan } from "./plan-check.ts";
import { parse, type Schema } from "./schema.ts";
import { download } from "./slices.ts";

/** Characters of an address in a message. */
const MOST_ADDRESS = 200;

type PlanEntry = Manifest["plans"][number];

/** The plans of a bundle whose model answers. */
export type Plans = readonly [PlanEntry, ...PlanEntry[]];

export class Bundle implements BundleFiles {
  private constructor(
    private readonly address: FolderAddress,
    readonly manifest: Manifest,
    readonly plans: Plans,
  ) {}

  /**
   * Throws BundleError when there is no bundle, UsageError when there is one that cannot answer.
   *
   * @param url the bundle's folder, or its gemtab.json; relative addresses are those of this page or worker
   */
  static async open(url: string | URL, signal?: AbortSignal): Promise<Bundle> {
    const address = bundleAddress(url);
    const reply = await request(address.file(MANIFEST_NAME), MANIFEST_NAME, { signal });
    const body = await readWhole(reply, MANIFEST_NAME, LIMITS.MANIFEST_BYTES, signal);
    const json = parseJson(decodeText(body, MANIFEST_NAME), MANIFEST_NAME, brief(address.folder, MOST_ADDRESS));
    const manifest = parseVersioned<Manifest>(MANIFEST_SCHEMA, json, MANIFEST_NAME);
    const plans = answeringPlans(manifest, address.folder);
    checkManifest(manifest);
    return new Bundle(address, manifest, plans);
  }

  /** The folder's address, as it was given: with its query and fragment, and a slash before them. */
  get url(): string {
    return this.address.href;
  }

  /**
   * The address of one of the bundle's files. A host that redirects one file is asked for the next by the address that
   * was given: hubs redirect each file to a place of its own.
   */
  urlOf(file: string): string {
    return this.address.file(file);
  }

  has(file: string): boolean {
    return Object.hasOwn(this.manifest.files, file);
  }

  async bytes(file: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const entry = this.manifest.files[file];
    if (!entry) throw new BundleError(`The bundle at ${brief(this.url, MOST_ADDRESS)} has no ${file}.`, file);
    const most = mostBytes(file) ?? LIMITS.CONFIG_BYTES;
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

  async text(file: string, signal?: AbortSignal): Promise<string> {
    return decodeText(await this.bytes(file, signal), file);
  }

  async json(file: string, signal?: AbortSignal): Promise<unknown> {
    return parseJson(await this.text(file, signal), file, brief(this.address.folder, MOST_ADDRESS));
  }

  async plan(file: string, signal?: AbortSignal): Promise<Plan> {
    const plan = parseVersioned<Plan>(PLAN_SCHEMA, await this.json(file, signal), file);
    checkPlan(plan, this.manifest, file);
    return plan;
  }

  /** How far the export is from its checkpoint, or null where it was not verified. */
  async parity(signal?: AbortSignal): Promise<unknown> {
    return this.has(PARITY_NAME) ? this.json(PARITY_NAME, signal) : null;
  }
}

function answeringPlans({ plans, draft, source }: Manifest, folder: string): Plans {
  const [first, ...rest] = plans;
  if (first) return [first, ...rest];
  if (!draft) throw new BundleError(`${MANIFEST_NAME} names neither a plan nor a draft graph. Export it again.`);
  throw new UsageError(
    `The bundle at ${brief(folder, MOST_ADDRESS)} holds a drafter (${brief(source.name)}), which drafts tokens for the model that it was trained with ` +
      "and cannot answer without it. Load the bundle of that model, its target.",
  );
}

/** Names a different format version as such, before its unknown fields are complained about. */
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
