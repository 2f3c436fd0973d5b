/** A syntax tree as DOM nodes. Model output is not to be trusted: nothing it says can run, load or lead astray. */

import type { AlignType, List, ListItem, Nodes, Paragraph, Root, RootContent, Table, TableRow } from "mdast";
import { balanced } from "../written.ts";
import { destination } from "./destination.ts";
import { sourceOf } from "./parse.ts";

const SAFE_PROTOCOLS = new Set(["http:", "https:", "mailto:"]);

/** Deeper blocks are shown as they are written: browsers lay out a thousand levels for minutes. */
const DEEPEST = 20;

/** A line break as models write it in the cells of tables. */
const HTML_BREAK = /^<br\s*\/?>$/i;

/** The nodes that show the children of `root`, which was parsed from `source`. */
export function render(root: Root, source: string): Node[] {
  return new Renderer(root, source).blocks(root.children);
}

class Renderer {
  readonly #source: string;
  /** Addresses by the names that links refer to. */
  readonly #addresses = new Map<string, string>();
  /** The names that something refers to. */
  readonly #named = new Set<string>();
  #depth = 0;

  constructor(root: Root, source: string) {
    this.#source = source;
    collectAddresses(root, this.#addresses, this.#named);
  }

  blocks(nodes: readonly RootContent[]): Node[] {
    return nodes.flatMap((node) => this.#shown(node));
  }

  #shown(node: RootContent): Node[] {
    if (this.#depth > DEEPEST) return [shownText(sourceOf(node, this.#source))];
    this.#depth += 1;
    const shown = this.#node(node);
    this.#depth -= 1;
    return shown;
  }

  #node(node: RootContent): Node[] {
    switch (node.type) {
      case "text":
        return [shownText(node.value)];
      case "html":
        return [HTML_BREAK.test(node.value) ? element("br") : shownText(node.value)];
      case "inlineCode":
        return [element("code", balanced(node.value))];
      case "code":
        return [scroller("pre", element("code", balanced(node.value)))];
      case "break":
        return [element("br")];
      case "thematicBreak":
        return [element("hr")];
      case "paragraph":
        return [element("p", ...this.#inside(node))];
      case "heading":
        // All below the speaker's name (h2): a level that models leave out would be missed by those who listen.
        return [element("h3", ...this.#inside(node))];
      case "blockquote":
        return [element("blockquote", ...this.#inside(node))];
      case "emphasis":
        return [element("em", ...this.#inside(node))];
      case "strong":
        return [element("strong", ...this.#inside(node))];
      case "delete":
        return [element("s", ...this.#inside(node))];
      case "link":
        return [link(node.url, this.#inside(node))];
      case "linkReference":
        return [link(this.#addresses.get(node.identifier) ?? "", this.#inside(node))];
      case "image":
      case "imageReference":
        return [image(node.alt ?? "")];
      case "list":
        return [this.#list(node)];
      case "table":
        return [scroller("div", this.#table(node))];
      case "definition":
        // Models list their sources so, often without naming them in the text.
        if (this.#named.has(node.identifier)) return [];
        return [element("p", shownText(sourceOf(node, this.#source)))];
      default:
        return [shownText(sourceOf(node, this.#source))];
    }
  }

  #inside(node: { children: RootContent[] }): Node[] {
    return this.blocks(node.children);
  }

  #list(node: List): HTMLElement {
    const items = node.children.map((item) => this.#item(item, node.spread === true || item.spread === true));
    const list = element(node.ordered ? "ol" : "ul", ...items);
    if (list instanceof HTMLOListElement && node.start != null && node.start !== 1) list.start = node.start;
    return list;
  }

  /** loose: its paragraphs are set apart. */
  #item(node: ListItem, loose: boolean): HTMLElement {
    const content = node.children.flatMap((child) =>
      child.type === "paragraph" && !loose ? this.#unwrapped(child) : this.#shown(child),
    );
    return node.checked == null ? element("li", ...content) : element("li", checkbox(node.checked), ...content);
  }

  #unwrapped(node: Paragraph): Node[] {
    return this.#inside(node);
  }

  #table(node: Table): HTMLElement {
    const [head, ...rows] = node.children;
    const align = node.align ?? [];
    const made = rows.map((row) => this.#row(row, "td", align));
    return element(
      "table",
      element("thead", ...(head ? [this.#row(head, "th", align)] : [])),
      element("tbody", ...made),
    );
  }

  #row(node: TableRow, tag: "th" | "td", align: readonly AlignType[]): HTMLElement {
    const cells = node.children.map((cell, index) => {
      const made = element(tag, ...this.#inside(cell));
      const side = align[index];
      if (side) made.className = side;
      return made;
    });
    return element("tr", ...cells);
  }
}

function collectAddresses(node: Nodes, into: Map<string, string>, named: Set<string>): void {
  // The first definition of a name counts, as in CommonMark.
  if (node.type === "definition" && !into.has(node.identifier)) into.set(node.identifier, node.url);
  if (node.type === "linkReference" || node.type === "imageReference") named.add(node.identifier);
  if ("children" in node) for (const child of node.children) collectAddresses(child, into, named);
}

function shownText(text: string): Text {
  return new Text(balanced(text));
}

function element(tag: keyof HTMLElementTagNameMap, ...content: (Node | string)[]): HTMLElement {
  const made = document.createElement(tag);
  made.append(...content);
  return made;
}

/** A link; where its address is not of a safe kind it leads nowhere, and where its words look like another it is told. */
function link(address: string, content: Node[]): HTMLElement {
  const anchor = document.createElement("a");
  anchor.append(...content);
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (!url || !SAFE_PROTOCOLS.has(url.protocol)) return anchor;
  anchor.href = address;
  anchor.target = "_blank";
  anchor.rel = "noopener noreferrer nofollow";
  const told = destination(url, anchor.textContent ?? "");
  if (told !== undefined) anchor.append(destinationView(told));
  return anchor;
}

function destinationView(told: string): HTMLElement {
  const shown = element("bdi", ` (${balanced(told)})`);
  shown.className = "destination";
  return shown;
}

/** A box for what may be wider than the page; it can be scrolled by keyboard too. */
function scroller(tag: "pre" | "div", content: HTMLElement): HTMLElement {
  const box = element(tag, content);
  box.className = "scroller";
  box.tabIndex = 0;
  return box;
}

/** An image's description in its place: an address chosen by the model would tell its server what was said. */
function image(description: string): HTMLElement {
  const shown = element("span", balanced(description));
  shown.className = "image";
  return shown;
}

function checkbox(checked: boolean): HTMLElement {
  const box = document.createElement("input");
  box.type = "checkbox";
  box.disabled = true;
  box.checked = checked;
  return box;
}
