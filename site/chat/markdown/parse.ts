/**
 * Parses CommonMark and GFM (tables, strikethrough, bare addresses, task lists) to a syntax tree. Loaded with the first
 * answer.
 */

import type { Nodes, Root, RootContent, Strong } from "mdast";
import { fromMarkdown } from "mdast-util-from-markdown";
import { gfmAutolinkLiteralFromMarkdown } from "mdast-util-gfm-autolink-literal";
import { gfmStrikethroughFromMarkdown } from "mdast-util-gfm-strikethrough";
import { gfmTableFromMarkdown } from "mdast-util-gfm-table";
import { gfmTaskListItemFromMarkdown } from "mdast-util-gfm-task-list-item";
import { gfmAutolinkLiteral } from "micromark-extension-gfm-autolink-literal";
import { gfmStrikethrough } from "micromark-extension-gfm-strikethrough";
import { gfmTable } from "micromark-extension-gfm-table";
import { gfmTaskListItem } from "micromark-extension-gfm-task-list-item";
import { math } from "./math.ts";

const OPTIONS = {
  // A single tilde has no meaning: models write "~5 km" and "~/.profile".
  extensions: [gfmAutolinkLiteral(), gfmStrikethrough({ singleTilde: false }), gfmTable(), gfmTaskListItem(), math()],
  mdastExtensions: [
    gfmAutolinkLiteralFromMarkdown(),
    gfmStrikethroughFromMarkdown(),
    gfmTableFromMarkdown(),
    gfmTaskListItemFromMarkdown(),
  ],
};

/** A name such as Python's `__init__`. */
const DUNDER = /^__[a-z0-9]+(?:_[a-z0-9]+)*__$/;

/** Return the tree of `source`. Positions in the tree are offsets in `source`. */
export function parse(source: string): Root {
  const root = fromMarkdown(source, OPTIONS);
  keepDunders(root, source);
  return root;
}

/**
 * Return the beginning of the tree's last block: the beginning of its line, since indentation may belong to the block.
 */
export function startOfLast(root: Root, source: string): number {
  const last: RootContent | undefined = root.children.at(-1);
  const offset = last?.position?.start.offset ?? 0;
  return source.lastIndexOf("\n", offset - 1) + 1;
}

/** Keep `__init__` as a name, which CommonMark reads as the word "init" in bold. */
function keepDunders(node: Nodes, source: string): void {
  if (!("children" in node)) return;
  node.children.forEach((child, index) => {
    if (child.type === "strong" && isDunder(child, source)) {
      node.children[index] = { type: "text", value: sourceOf(child, source) };
    } else keepDunders(child, source);
  });
}

function isDunder(node: Strong, source: string): boolean {
  return DUNDER.test(sourceOf(node, source));
}

/** Return the part of `source` that a node comes from. */
export function sourceOf({ position }: Nodes, source: string): string {
  return source.slice(position?.start.offset ?? 0, position?.end.offset ?? 0);
}
