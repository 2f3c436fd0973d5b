/** Checks of manifests and plans. Python's tests run the same cases. */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { MANIFEST_SCHEMA, type Manifest } from "../../src/bundle/manifest.gen.ts";
import { checkManifest } from "../../src/bundle/manifest-check.ts";
import { PLAN_SCHEMA, type Plan } from "../../src/bundle/plan.gen.ts";
import { checkPlan } from "../../src/bundle/plan-check.ts";
import { parse } from "../../src/bundle/schema.ts";
import { BundleError } from "../../src/errors.ts";

type Json = Record<string, unknown>;
type Change = ["set", (string | number)[], unknown] | ["remove", (string | number)[]];

interface Case {
  name: string;
  of: Toy;
  part: "plan" | "manifest" | "entry";
  change: Change[];
  says: string;
}

type Toy = "text" | "tower" | "seeing";
type Bundle = { plan: Json; manifest: Json };

const path = resolve(import.meta.dirname, "../../../tests/fixtures/bundle_checks.json");
const { cases, ...toys } = JSON.parse(readFileSync(path, "utf8")) as { cases: Case[] } & Record<Toy, Bundle>;

const FILES: Record<Toy, string> = { text: "plan/f32.json", seeing: "plan/f32.json", tower: "plan/image.f32.json" };

function entryOf({ manifest }: Bundle, file: string): Json {
  const { plans, towers } = manifest as unknown as Manifest;
  const entries = [...plans, ...(towers?.image ?? []), ...(towers?.audio ?? [])];
  return entries.find((entry) => entry.file === file) as unknown as Json;
}

function apply(part: Json, changes: readonly Change[]): void {
  for (const [what, path, value] of changes) {
    const last = path.at(-1) as string & number;
    const owner = path.slice(0, -1).reduce((inner, key) => inner[key] as Json, part);
    if (what === "set") owner[last] = value;
    else if (Array.isArray(owner)) owner.splice(last, 1);
    else delete owner[last];
  }
}

function check({ plan, manifest }: Bundle, file: string): void {
  const read = parse<Manifest>(MANIFEST_SCHEMA, manifest, "gemtab.json");
  checkManifest(read);
  checkPlan(parse<Plan>(PLAN_SCHEMA, plan, file), read, file);
}

test.each(Object.keys(FILES) as Toy[])("the toy %s is valid", (toy) => {
  expect(() => check(toys[toy], FILES[toy])).not.toThrow();
});

describe("a bundle is rejected for", () => {
  test.each(cases)("$name", ({ of, part, change, says }) => {
    const bundle = structuredClone(toys[of]);
    apply(part === "entry" ? entryOf(bundle, FILES[of]) : bundle[part], change);
    expect(() => check(bundle, FILES[of])).toThrow(BundleError);
    expect(() => check(bundle, FILES[of])).toThrow(says);
  });
});
