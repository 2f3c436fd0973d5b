/** The parameters of macros. */

import { fail } from "./errors.ts";
import type { Expression } from "./expressions.ts";
import type { Scope } from "./scope.ts";
import { Dict, type Named, tuple, Undefined, type Value } from "./values.ts";

/** The parameters of a macro or of a call's block. */
export interface Signature {
  names: string[];
  /** The defaults of the last parameters. */
  defaults: Map<string, Expression>;
}

/** Set a macro's parameters. `varargs`, `kwargs` and `caller` are accepted where the macro reads them. */
export function bind(
  name: string,
  { names, defaults }: Signature,
  used: Set<string>,
  scope: Scope,
  args: Value[],
  named: Named,
): void {
  const rest = new Map(named);
  const missing: string[] = [];
  for (const [i, parameter] of names.entries()) {
    const value = args[i] ?? (args[i] === null ? null : rest.get(parameter));
    if (i >= args.length) rest.delete(parameter);
    if (value === undefined) missing.push(parameter);
    else scope.set(parameter, value);
  }
  if (used.has("caller") && !names.includes("caller"))
    scope.set("caller", rest.get("caller") ?? new Undefined("No caller defined"));
  if (used.has("caller")) rest.delete("caller");
  if (used.has("kwargs")) scope.set("kwargs", new Dict(rest));
  else if (rest.size > 0) fail(`macro '${name}' takes no keyword argument '${[...rest.keys()][0]}'`, "TypeError");
  if (used.has("varargs")) scope.set("varargs", tuple(args.slice(names.length)));
  else if (args.length > names.length)
    fail(`macro '${name}' takes not more than ${names.length} argument(s)`, "TypeError");
  for (const parameter of missing) {
    const otherwise = defaults.get(parameter);
    scope.set(parameter, otherwise ? otherwise(scope) : new Undefined(`parameter '${parameter}' was not provided`));
  }
}
