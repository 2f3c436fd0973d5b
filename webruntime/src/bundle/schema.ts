/**
 * Checks untrusted JSON against the JSON schemas that pydantic writes. Generates no code at run time: pages run under a
 * strict content security policy.
 */

import { brief, shown } from "../brief.ts";
import { BundleError } from "../errors.ts";

/** The keywords of JSON Schema that are supported. The generated schemas have this type, so tsc rejects any other. */
export interface Schema {
  $defs?: Record<string, Schema>;
  $ref?: string;
  type?: string;
  const?: unknown;
  enum?: unknown[];
  default?: unknown;
  minimum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  multipleOf?: number;
  pattern?: string;
  minItems?: number;
  maxItems?: number;
  items?: Schema;
  prefixItems?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | false;
  /** As in pydantic, and unlike in JSON Schema, a key that matches no pattern is rejected. */
  patternProperties?: Record<string, Schema>;
  anyOf?: Schema[];
  oneOf?: Schema[];
  discriminator?: { propertyName: string; mapping: Record<string, string> };
}

/** Most levels of nesting. No plan or manifest has more, and a hostile one must not exhaust the stack. */
const MAX_DEPTH = 64;
/** Most characters of a location in an error: keys come from the bundle. */
const MAX_LOCATION = 160;

class Mismatch extends Error {}

/**
 * Checks `value` against `schema`. Returns it with defaults filled in.
 *
 * @typeParam T the type that was generated with the schema
 * @param file the path in the bundle, for errors
 * @throws BundleError with the file, the location, and the expected and found values
 */
export function parse<T>(schema: Schema, value: unknown, file: string): T {
  try {
    return new Parser(schema.$defs ?? {}).parse(schema, value, "", 0) as T;
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    throw new BundleError(`${file} is not what this version of gemtab reads: ${error.message}. Export it again.`, file);
  }
}

class Parser {
  constructor(private readonly definitions: Record<string, Schema>) {}

  parse(schema: Schema, value: unknown, at: string, depth: number): unknown {
    if (depth > MAX_DEPTH) throw new Mismatch(`${location(at)} is nested deeper than ${MAX_DEPTH} levels`);
    if (schema.$ref) return this.parse(this.resolve(schema.$ref), value, at, depth + 1);
    if (schema.oneOf || schema.anyOf) return this.parseUnion(schema, value, at, depth);
    checkScalar(schema, value, at);
    if (Array.isArray(value)) return this.parseArray(schema, value, at, depth);
    if (typeof value === "object" && value !== null) {
      return this.parseObject(schema, value as Record<string, unknown>, at, depth);
    }
    return value;
  }

  private resolve(reference: string): Schema {
    const schema = this.definitions[reference.replace("#/$defs/", "")];
    if (!schema) throw new Error(`The schema has no definition ${reference}`);
    return schema;
  }

  private parseUnion(schema: Schema, value: unknown, at: string, depth: number): unknown {
    if (schema.discriminator) {
      const { propertyName, mapping } = schema.discriminator;
      const kind = (value as Record<string, unknown> | null)?.[propertyName];
      const reference = typeof kind === "string" && Object.hasOwn(mapping, kind) ? mapping[kind] : undefined;
      if (!reference) throw new Mismatch(`${location(at)}.${propertyName} ${expected(Object.keys(mapping), kind)}`);
      return this.parse(this.resolve(reference), value, at, depth + 1);
    }
    const misses: string[] = [];
    for (const option of schema.oneOf ?? schema.anyOf ?? []) {
      if (!this.couldBe(option, value)) continue;
      try {
        return this.parse(option, value, at, depth + 1);
      } catch (error) {
        if (!(error instanceof Mismatch)) throw error;
        misses.push(error.message);
      }
    }
    throw new Mismatch(misses.at(-1) ?? `${location(at)} has no valid form: it is ${shown(value)}`);
  }

  /** Whether `value` has the option's JSON type. Other options of a union are not tried: each would throw. */
  private couldBe(option: Schema, value: unknown): boolean {
    let schema = option;
    while (schema.$ref) schema = this.resolve(schema.$ref);
    return schema.type === undefined || (TYPES[schema.type]?.(value) ?? false);
  }

  private parseArray(schema: Schema, value: unknown[], at: string, depth: number): unknown[] {
    const { minItems = 0, maxItems = Number.POSITIVE_INFINITY, prefixItems = [], items = {} } = schema;
    if (value.length < minItems || value.length > maxItems) {
      throw new Mismatch(`${location(at)} must have ${minItems} to ${maxItems} items, but has ${value.length}`);
    }
    return value.map((item, index) => this.parse(prefixItems[index] ?? items, item, `${at}[${index}]`, depth + 1));
  }

  private parseObject(schema: Schema, value: Record<string, unknown>, at: string, depth: number): unknown {
    const { properties = {}, required = [] } = schema;
    // Without a prototype, a key such as __proto__ is a key like any other.
    const result: Record<string, unknown> = Object.create(null);
    for (const [key, item] of Object.entries(value)) {
      const property = Object.hasOwn(properties, key) ? properties[key] : undefined;
      const path = at ? `${at}.${key}` : key;
      result[key] = this.parse(property ?? additional(schema, key, at), item, path, depth + 1);
    }
    for (const key of required) {
      if (!(key in result)) throw new Mismatch(`${location(at)} lacks "${key}"`);
    }
    for (const [key, property] of Object.entries(properties)) {
      if (!(key in result) && "default" in property) result[key] = structuredClone(property.default);
    }
    return result;
  }
}

/** The schema of a key that `properties` does not name. */
function additional(schema: Schema, key: string, at: string): Schema {
  const { patternProperties, additionalProperties } = schema;
  if (patternProperties) {
    const pattern = Object.keys(patternProperties).find((pattern) => new RegExp(pattern, "u").test(key));
    const property = pattern && patternProperties[pattern];
    if (property) return property;
  } else if (additionalProperties !== false) return additionalProperties ?? {};
  throw new Mismatch(`${location(at)} has a field ${shown(key)} that is not known`);
}

const TYPES: Record<string, (value: unknown) => boolean> = {
  integer: (value) => Number.isSafeInteger(value),
  number: (value) => Number.isFinite(value),
  string: (value) => typeof value === "string",
  boolean: (value) => typeof value === "boolean",
  null: (value) => value === null,
  array: Array.isArray,
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};

function checkScalar(schema: Schema, value: unknown, at: string): void {
  const { type, minimum, exclusiveMinimum, exclusiveMaximum, multipleOf, pattern } = schema;
  const reject = (what: string): never => {
    throw new Mismatch(`${location(at)} must be ${what}, but is ${shown(value)}`);
  };
  if (type && !TYPES[type]?.(value)) reject(`of type ${type}`);
  if ("const" in schema && value !== schema.const) reject(shown(schema.const));
  if (Array.isArray(schema.enum) && !schema.enum.includes(value)) {
    throw new Mismatch(`${location(at)} ${expected(schema.enum, value)}`);
  }
  if (typeof value === "number") {
    if (minimum !== undefined && value < minimum) reject(`at least ${minimum}`);
    if (exclusiveMinimum !== undefined && value <= exclusiveMinimum) reject(`above ${exclusiveMinimum}`);
    if (exclusiveMaximum !== undefined && value >= exclusiveMaximum) reject(`below ${exclusiveMaximum}`);
    if (multipleOf && value % multipleOf !== 0) reject(`a multiple of ${multipleOf}`);
  }
  if (pattern && !new RegExp(pattern, "u").test(value as string)) reject(`of the form ${pattern}`);
}

function location(at: string): string {
  return brief(at, MAX_LOCATION) || "the file";
}

function expected(options: unknown[], found: unknown): string {
  return `must be one of ${options.map((one) => shown(one)).join(", ")}, but is ${shown(found)}`;
}
