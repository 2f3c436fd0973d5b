/** The template engine against transformers' environment (tests/input/template_fixture.py). */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it, test } from "vitest";
import { BundleError, UsageError } from "../../src/errors.ts";
import { ChatTemplate } from "../../src/input/chat-template.ts";
import { Template } from "../../src/input/jinja/template.ts";
import { readJson } from "../../src/input/json.ts";

const fixture = resolve(import.meta.dirname, "../../../tests/fixtures/templates.json");
const { variables, templates } = Object.fromEntries(
  readJson(readFileSync(fixture, "utf8")) as Map<string, unknown>,
) as {
  variables: Map<string, unknown>;
  templates: Map<"template" | "result", string | null>[];
};
const given = {
  ...Object.fromEntries(variables),
  messages: [{ role: "user", content: "hi" }],
  tools: null,
  documents: null,
  add_generation_prompt: true,
};
const cases = templates.map((one) => ({ template: one.get("template") ?? "", result: one.get("result") ?? null }));
const options = { thinking: false, addGenerationPrompt: true };

describe("as in transformers:", () => {
  it.each(cases.filter(({ result }) => result !== null))("$template", ({ template, result }) => {
    expect(new Template(template).render(given)).toBe(result);
  });

  it.each(cases.filter(({ result }) => result === null))("an error: $template", ({ template }) => {
    expect(() => new Template(template).render(given)).toThrow();
  });
});

test("a template's rejection names its file", () => {
  const template = new ChatTemplate("{{ raise_exception('no system prompts') }}", {});
  expect(() => template.render([], options)).toThrow(BundleError);
  expect(() => template.render([], options)).toThrow(/chat_template\.jinja rejects .*no system prompts/);
});

test("a template that joins strings reports that it supports no media", () => {
  const template = new ChatTemplate("{{ 'user: ' + messages[0]['content'] }}", {});
  const content = [{ type: "image" }, { type: "text", text: "What is this?" }];
  expect(() => template.render([{ role: "user", content }], options)).toThrow(UsageError);
  expect(() => template.render([{ role: "user", content }], options)).toThrow(/text messages only.*has image/);
});

test("a template with autoescape is rejected", () => {
  const template = new Template("{% autoescape on %}{{ '<' }}{% endautoescape %}");
  expect(() => template.render({ on: true })).toThrow(/autoescape is not supported/);
  expect(template.render({ on: false })).toBe("<");
});

test("a template without an end is stopped", () => {
  const endless = "{% macro m(a) %}{% for i in range(1000) %}{{ m(i) }}{% endfor %}{% endmacro %}{{ m(0) }}";
  expect(() => new Template(endless).render({})).toThrow();
  expect(() =>
    new Template("{% set x = namespace(s='ab') %}{% for i in range(99) %}{% set x.s = x.s + x.s %}{% endfor %}").render(
      {},
    ),
  ).toThrow(/more than \d+ characters/);
});

describe("numbers", () => {
  const shown = (value: unknown) => new Template("{{ x }} {{ x | tojson }}").render({ x: value });

  test.each([
    [3, "3 3"],
    [-0, "-0.0 -0.0"],
    [1e16, "1e+16 1e+16"],
    [1e-7, "1e-07 1e-07"],
    [12345678901234567890n, "12345678901234567890 12345678901234567890"],
  ])("%s is converted to %s", (value, text) => {
    expect(shown(value)).toBe(text);
  });

  test("of JSON are Python's", () => {
    expect(shown(readJson('{"b": [3.0, 12345678901234567890, -0, 1E2], "10": null, "9": true}'))).toBe(
      `{'b': [3.0, 12345678901234567890, 0, 100.0], '10': None, '9': True} ` +
        '{"b": [3.0, 12345678901234567890, 0, 100.0], "10": null, "9": true}',
    );
    for (const broken of ["", "{", "[1,]", '{"a"}', "1 2", "nul", '{"a":1,}', "[1 2]"]) {
      expect(() => readJson(broken), broken).toThrow(SyntaxError);
    }
  });
});
