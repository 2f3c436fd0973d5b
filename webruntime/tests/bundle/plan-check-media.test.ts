/** Checks of plans with media. plan-check.test.ts has the other checks. */

import { describe, expect, test } from "vitest";
import type { Plan } from "../../src/bundle/plan.gen.ts";
import { checkPlan } from "../../src/bundle/plan-check.ts";
import { BundleError } from "../../src/errors.ts";
import { toyPlan } from "./toy-bundle.ts";
import { mediaBundle, seeing, toyTowerPlan } from "./toy-media.ts";

const MANIFEST = JSON.parse(String(mediaBundle({ visible: true }).get("gemtab.json")));

function seeingPlan(): Plan {
  const plan = toyPlan();
  seeing(plan, true);
  return plan;
}

test("the toy's plans are valid", () => {
  expect(() => checkPlan(seeingPlan(), MANIFEST, "plan/f32.json")).not.toThrow();
  expect(() => checkPlan(toyTowerPlan(), MANIFEST, "plan/image.f32.json")).not.toThrow();
});

// biome-ignore lint/suspicious/noExplicitAny: tests reach into one kind of a union
type Damage = (plan: any) => void;

describe("a plan with media is rejected", () => {
  const cases: [string, Damage, RegExp][] = [
    [
      "whose rows do not hold a chunk",
      (plan) => (plan.buffers.media.bytes = 12),
      /media has 12 bytes for the 4 tokens/,
    ],
    ["whose rows are uneven", (plan) => (plan.buffers.media.bytes = 20), /media has 20 bytes for the 4 tokens/],
    ["with two buffers of rows", (plan) => (plan.buffers.visible.role = "media"), /2 control buffers "media"/],
    ["that does not say how far all tokens see", (plan) => (plan.buffers.visible.bytes = 8), /visible has 8 bytes/],
  ];
  test.each(cases)("%s", (_, damage, message) => {
    const plan = seeingPlan();
    damage(plan);
    expect(() => checkPlan(plan, MANIFEST, "plan/f32.json")).toThrow(BundleError);
    expect(() => checkPlan(plan, MANIFEST, "plan/f32.json")).toThrow(message);
  });
});

describe("a tower's plan is rejected", () => {
  const cases: [string, Damage, RegExp][] = [
    ["without encode", (plan) => delete plan.programs.encode, /no program "encode"/],
    ["without rows", (plan) => (plan.programs.encode.outputs = {}), /no inputs, or no rows/],
    ["without inputs", (plan) => (plan.programs.encode.inputs = {}), /no inputs, or no rows/],
    ["whose input is a weight", (plan) => (plan.programs.encode.inputs.pixels = "weight"), /which is no scratch/],
    ["without a step", (plan) => delete plan.buffers.step, /0 control buffers "step"/],
    [
      "whose slot is too small for one token",
      (plan) => (plan.slots[0] = ["*", 8, ["-", "T", 1]]),
      /input needs 4 bytes of slot 0, which has 0/,
    ],
    ["whose slot is too small for many", (plan) => (plan.slots[0] = 8), /input needs 24 bytes of slot 0, which has 8/],
  ];
  test.each(cases)("%s", (_, damage, message) => {
    const plan = toyTowerPlan();
    damage(plan);
    expect(() => checkPlan(plan, MANIFEST, "plan/image.f32.json")).toThrow(BundleError);
    expect(() => checkPlan(plan, MANIFEST, "plan/image.f32.json")).toThrow(message);
  });
});
