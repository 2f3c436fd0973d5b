import { describe, expect, test } from "vitest";
import { MANIFEST_SCHEMA, type Manifest } from "../../src/bundle/manifest.gen.ts";
import { type Expr, PLAN_SCHEMA, type Plan } from "../../src/bundle/plan.gen.ts";
import { parse, type Schema } from "../../src/bundle/schema.ts";
import { BundleError } from "../../src/errors.ts";
import { toyManifest, toyPlan } from "./toy-bundle.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests damage plans in ways that their type forbids
type Damage = (value: any) => void;

function damaged(value: unknown, damage: Damage): unknown {
  const copy = JSON.parse(JSON.stringify(value));
  damage(copy);
  return copy;
}

function nested(depth: number): Expr {
  return depth === 0 ? 1 : ["+", nested(depth - 1), 1];
}

test("a plan comes through as it is", () => {
  expect(parse<Plan>(PLAN_SCHEMA, JSON.parse(JSON.stringify(toyPlan())), "plan/f32.json")).toEqual(toyPlan());
});

test("defaults of the schema are filled in", () => {
  const plan = parse<Plan>(
    PLAN_SCHEMA,
    damaged(toyPlan(), (plan) => {
      delete plan.features;
      delete plan.limits.maxBufferSize;
      delete plan.buffers.full.ring;
      delete plan.kernels.score.forms[0].entry_point;
      delete plan.programs.fill.dispatches[0].params;
    }),
    "plan/f32.json",
  );
  expect(plan.features).toEqual([]);
  expect(plan.limits.maxBufferSize).toBe(256 << 20);
  expect(plan.buffers.full).toMatchObject({ ring: null });
  expect(plan.kernels.score?.forms[0].entry_point).toBe("main");
  expect(plan.programs.fill?.dispatches[0]?.params).toBeNull();
});

const ROWS = { kind: "rows", file: "a.bin", offset: 0, row_bytes: 4, rows: 8, slots: 4 };

describe("a plan is rejected, with file and location, that", () => {
  const cases: [string, Damage, RegExp][] = [
    ["lacks a field", (plan) => delete plan.slots, /the file lacks "slots"/],
    ["has an unknown field", (plan) => (plan.extra = 1), /field "extra" that is not known/],
    ["has an unknown kind of buffer", (plan) => (plan.buffers.low.kind = "magic"), /buffers\.low\.kind must be one of/],
    ["has a buffer without kind", (plan) => delete plan.buffers.low.kind, /buffers\.low\.kind .* but is absent/],
    ["has null for a buffer", (plan) => (plan.buffers.low = null), /buffers\.low\.kind/],
    [
      "has an unaligned offset",
      (plan) => (plan.buffers.low.offset = 6),
      /buffers\.low\.offset .* multiple of 4, but is 6/,
    ],
    [
      "has rows as large as a table",
      (plan) => (plan.buffers.low = { ...ROWS, bytes: 64 << 20 }),
      /buffers\.low\.bytes must be below 67108864, but is 67108864/,
    ],
    ["has a slot of no size", (plan) => (plan.slots[0] = "S"), /slots\[0\]/],
    ["has a fraction for an integer", (plan) => (plan.context = 1.5), /context must be of type integer, but is 1\.5/],
    ["has a negative number in a grid", (plan) => (plan.programs.fill.dispatches[0].grid[1] = -1), /grid\[1\]/],
    ["has a grid of two", (plan) => plan.programs.fill.dispatches[0].grid.pop(), /grid must have 3 to 3 items/],
    ["has an unknown operator", (plan) => (plan.buffers.full.bytes = ["**", 2, 3]), /bytes\[0\] must be one of/],
    ["has an unknown symbol", (plan) => (plan.buffers.full.bytes = "X"), /buffers\.full\.bytes/],
    ["nests expressions too deep", (plan) => (plan.buffers.full.bytes = nested(200)), /nested deeper than 64/],
    ["has a word beyond 32 bits", (plan) => (plan.programs.decode.dispatches[1].params[0] = 2 ** 32), /params/],
    [
      "has a constant that is a string",
      (plan) => (plan.kernels.store.forms[0].constants.ROWS = "8"),
      /constants\.ROWS/,
    ],
    ["has a kernel without forms", (plan) => (plan.kernels.store.forms = []), /forms must have 1 to/],
    ["asks for an unknown feature", (plan) => (plan.features = ["teleport"]), /features\[0\] must be one of/],
  ];
  test.each(cases)("%s", (_, damage, message) => {
    const attempt = () => parse<Plan>(PLAN_SCHEMA, damaged(toyPlan(), damage), "plan/f32.json");
    expect(attempt).toThrow(BundleError);
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(/^plan\/f32\.json /);
  });
});

describe("manifests", () => {
  const manifest = toyManifest(new Map([["config.json", Buffer.from("{}")]]));
  const read = (value: unknown) => parse<Manifest>(MANIFEST_SCHEMA, value, "gemtab.json");

  test("come through as they are", () => {
    expect(read(JSON.parse(JSON.stringify(manifest)))).toEqual(manifest);
  });

  test.each(["../secret", "/etc/passwd", "a/../b", "http://elsewhere/x", ".hidden", "a//b", ""])(
    "must not list the file %j",
    (name) => {
      const files = { ...manifest.files, [name]: manifest.files["config.json"] };
      expect(() => read({ ...manifest, files })).toThrow(/that is not known/);
    },
  );

  test.each(["../plan.json", "https://elsewhere/plan.json"])("must not have their plan at %s", (file) => {
    const plans = [{ file, activation: "f32" }];
    expect(() => read({ ...manifest, plans })).toThrow(/plans\[0\]\.file must be of the form/);
  });

  test("must have digests that are SHA-256", () => {
    const entry = { bytes: 2, slice_bytes: 256, sha256: ["abc"] };
    expect(() => read({ ...manifest, files: { "config.json": entry } })).toThrow(/files\.config\.json\.sha256\[0\]/);
  });
});

test("a key called __proto__ is a key like any other, and changes no object", () => {
  const schema: Schema = { type: "object", additionalProperties: { type: "integer" } };
  const value = parse<Record<string, number>>(schema, JSON.parse('{"__proto__": 1, "toString": 2}'), "x.json");
  expect(Object.entries(value)).toEqual([
    ["__proto__", 1],
    ["toString", 2],
  ]);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
});
