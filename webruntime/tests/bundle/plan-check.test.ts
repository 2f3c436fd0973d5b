import { describe, expect, test } from "vitest";
import type { Dispatch, Plan } from "../../src/bundle/plan.gen.ts";
import { checkPlan } from "../../src/bundle/plan-check.ts";
import { BundleError } from "../../src/errors.ts";
import { CONTEXT, toyBundle, toyManifest, toyPlan } from "./toy-bundle.ts";

const MANIFEST = toyManifest(toyBundle());

// biome-ignore lint/suspicious/noExplicitAny: tests reach into one kind of a union
type Damage = (plan: any) => void;

const dispatch = (plan: Plan, program: string, index: number) => plan.programs[program]?.dispatches[index] as Dispatch;

const TABLE = {
  kind: "rows",
  file: "onnx/toy.onnx_data",
  offset: 0,
  row_bytes: 4,
  rows: 16,
  replaced: [],
  replacement: 0,
  slots: 4,
  bytes: 16,
};

const SLOTS = { kind: "control", role: "slots", bytes: 16 };

test("the toy's plan is valid", () => {
  expect(() => checkPlan(toyPlan(), MANIFEST, "plan/f32.json")).not.toThrow();
});

describe("a plan is rejected", () => {
  const cases: [string, Damage, RegExp][] = [
    [
      "whose weight ends beyond its file",
      (plan) => (plan.buffers.low.offset = 1424),
      /buffer low ends at byte 1456 of onnx\/toy\.onnx_data, which has 1436/,
    ],
    [
      "whose weight is in a file that is not listed",
      (plan) => (plan.buffers.low.file = "x.bin"),
      /x\.bin, which the manifest/,
    ],
    [
      "whose table ends beyond its file",
      (plan) => (plan.buffers.rows = { ...TABLE, offset: 1400 }),
      /buffer rows ends at byte 1464 of onnx\/toy\.onnx_data, which has 1436/,
    ],
    [
      "whose table has fewer rows than there are ids",
      (plan) => (plan.buffers.rows = { ...TABLE, rows: 15 }),
      /buffer rows has 15 rows in its file, none for id 15/,
    ],
    [
      "whose rows do not hold those of a chunk",
      (plan) => (plan.buffers.rows = { ...TABLE, bytes: 12 }),
      /buffer rows has 12 bytes for 4 rows of 4/,
    ],
    [
      "whose rows have no slots for those of a chunk",
      (plan) => (plan.buffers.rows = { ...TABLE, slots: 3 }),
      /buffer rows has 3 slots for the rows of 4 tokens/,
    ],
    [
      "without the slots of the rows",
      (plan) => (plan.buffers.rows = TABLE),
      /there are 0 control buffers "slots" instead of 1/,
    ],
    [
      "that writes a table's rows",
      (plan) => {
        Object.assign(plan.buffers, { rows: TABLE, slots: SLOTS });
        dispatch(plan, "fill", 0).bindings[2] = "rows";
      },
      /weight rows is bound to be/,
    ],
    [
      "whose shader is not listed",
      (plan) => (plan.kernels.score.forms[0].file = "x.wgsl"),
      /kernel score is in x\.wgsl/,
    ],
    [
      "with a binding above the limit",
      (plan) => (plan.limits.maxStorageBufferBindingSize = 40),
      /more than the binding/,
    ],
    ["with an empty slot", (plan) => (plan.slots[0] = 0), /a slot has 0 bytes/],
    ["with a slot above the limit", (plan) => (plan.limits.maxBufferSize = 60), /a slot has 64 bytes/],
    [
      "with scratch in no slot",
      (plan) => (plan.buffers.logits.slot = 1),
      /logits needs 64 bytes of slot 1, which has 0/,
    ],
    ["with scratch larger than its slot", (plan) => (plan.buffers.logits.bytes = 68), /of slot 0, which has 64/],
    ["with a cache of no bytes", (plan) => (plan.buffers.full.bytes = ["-", "C", CONTEXT]), /buffer full has 0 bytes/],
    ["with a cache of infinite size", (plan) => (plan.buffers.full.bytes = ["ceildiv", 1, 0]), /Infinity bytes/],
    ["with a ring shorter than its window", (plan) => (plan.buffers.ring.ring.rows = 3), /3 rows for a window of 4/],
    ["without a control buffer", (plan) => (plan.buffers.step.role = "ids"), /2 control buffers "ids"/],
    ["whose ids do not hold a chunk", (plan) => (plan.buffers.ids.bytes = 12), /"ids" has 12 bytes for 4 words/],
    ["without decode", (plan) => delete plan.programs.decode, /no program "decode"/],
    ["whose chunk is above the context", (plan) => (plan.context = 3), /program fill takes 4 tokens in a context of 3/],
    ["with an unknown output", (plan) => (plan.programs.decode.outputs.logits = "x"), /unknown buffer "x"/],
    ["with an unknown kernel", (plan) => (dispatch(plan, "fill", 0).kernel = "x"), /fill, store: unknown kernel "x"/],
    ["with an unknown buffer", (plan) => (dispatch(plan, "fill", 1).bindings[0] = "x"), /advance: unknown buffer "x"/],
    [
      "with too few bindings",
      (plan) => dispatch(plan, "fill", 0).bindings.pop(),
      /3 bindings for the 4 of kernel store/,
    ],
    ["without params for a uniform", (plan) => (dispatch(plan, "decode", 1).params = null), /kernel score has params/],
    ["with params for no uniform", (plan) => (dispatch(plan, "fill", 0).params = [1]), /kernel store has no params/],
    ["that writes a weight", (plan) => (dispatch(plan, "fill", 0).bindings[2] = "low"), /weight low is bound to be/],
    [
      "that writes what it also reads",
      (plan) => (dispatch(plan, "decode", 1).bindings[5] = "full"),
      /full is bound twice, and written/,
    ],
    [
      "that writes a slot it also reads under another name",
      (plan) => {
        plan.buffers.alias = { ...plan.buffers.logits };
        dispatch(plan, "decode", 1).bindings[1] = "alias";
      },
      /slot 0 is bound twice, and written/,
    ],
    [
      "with a grid that is too wide",
      (plan) => (dispatch(plan, "fill", 0).grid[0] = ["*", "T", 70000]),
      /a grid of 70000 workgroups/,
    ],
    [
      "with a negative grid",
      (plan) => (dispatch(plan, "fill", 0).grid[2] = ["-", "P", "C"]),
      /-64 workgroups at T = 1/,
    ],
    ["with a uniform in the middle", (plan) => plan.kernels.score.bindings.reverse(), /uniform that is not its last/],
    [
      "with more bindings than a stage may have",
      (plan) => (plan.limits.maxStorageBuffersPerShaderStage = 5),
      /kernel score has 6 storage bindings, more than 5/,
    ],
    [
      "whose every form needs what it does not ask for",
      (plan) => plan.kernels.advance.forms.pop(),
      /every form of kernel advance needs subgroups/,
    ],
  ];
  test.each(cases)("%s", (_, damage, message) => {
    const plan = toyPlan();
    damage(plan);
    const attempt = () => checkPlan(plan, MANIFEST, "plan/f32.json");
    expect(attempt).toThrow(BundleError);
    expect(attempt).toThrow(message);
  });
});
