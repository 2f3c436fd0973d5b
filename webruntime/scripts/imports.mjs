/**
 * Reads names of TypeScript and JavaScript files, one a line, and prints what each imports of the repository, as JSON:
 * [{file, line, target}]. Imports of types, `export … from`, `import()`, `import("…").Type` and `new URL("…",
 * import.meta.url)` count; imports of packages do not. The argument is the repository's folder.
 */

import { existsSync, readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { parseSync } from "vite";

const root = resolve(process.argv[2]);

/** Return the texts that a node of the syntax tree imports. */
function specifiers(node) {
  switch (node.type) {
    case "ImportDeclaration":
    case "ExportNamedDeclaration":
    case "ExportAllDeclaration":
    case "ImportExpression":
    case "TSImportType":
      return [node.source ?? node.argument];
    case "TSExternalModuleReference":
      return [node.expression];
    case "NewExpression":
      return node.callee.name === "URL" && isThisFile(node.arguments[1]) ? [node.arguments[0]] : [];
    default:
      return [];
  }
}

const isThisFile = (node) => node?.type === "MemberExpression" && node.object.type === "MetaProperty";

function* walk(node) {
  if (Array.isArray(node)) for (const one of node) yield* walk(one);
  else if (node && typeof node === "object") {
    if (typeof node.type === "string") yield node;
    for (const value of Object.values(node)) yield* walk(value);
  }
}

/** Return the repository's file that a relative import names, or undefined for a package. */
function target(from, specifier) {
  if (!specifier.startsWith(".")) return undefined;
  const path = resolve(root, dirname(from), specifier.split("?")[0]);
  const found = [path, `${path}.ts`, path.replace(/\.js$/, ".ts"), resolve(path, "index.ts")].find(existsSync);
  return relative(root, found ?? path);
}

function imports(file) {
  const text = readFileSync(resolve(root, file), "utf8");
  const { program, errors } = parseSync(file, text);
  if (errors.length) throw new Error(`${file} cannot be parsed: ${errors[0].message}`);
  const found = [];
  for (const node of walk(program)) {
    for (const source of specifiers(node)) {
      const specifier = source?.value ?? source?.literal?.value;
      const path = typeof specifier === "string" ? target(file, specifier) : undefined;
      if (path) found.push({ file, line: text.slice(0, node.start).split("\n").length, target: path });
    }
  }
  return found;
}

const files = readFileSync(0, "utf8").split("\n").filter(Boolean);
process.stdout.write(JSON.stringify(files.flatMap(imports)));
