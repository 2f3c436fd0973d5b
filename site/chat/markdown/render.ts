/** Renders a syntax tree as DOM nodes. Model output is not trusted: it cannot run code, load files or mislead. */

import type { AlignType, List, ListItem, Nodes, Paragraph, Root, RootContent, Table, TableRow } from "mdast";
import { balanced } from "../written.ts";
import { destination } from "./destination.ts";
import { sourceOf } from "./parse.ts";

const SAFE_PROTOCOLS = new Set(["http:", "https:", "mailto:"]);

/**
 * The maximum depth of blocks. Deeper ones are shown as source: browsers need minutes for the layout of a thousand
 * levels.
 */
const DEEPEST = 20;

/** A line break in a table's cell, as models write it. */
const HTML_BREAK = /^<br\s*\/?>$/i;

/** Return the nodes that show the children of `root`, which was parsed from `source`. */
export function render(root: Root, source: string): Node[] {
  return new Renderer(root, source).blocks(root.children);
}

class Renderer {
  readonly #source: string;
  /** Addresses by the names that links use. */
  readonly #addresses = new Map<string, string>();
  /** The names that are used. */
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
        // All headings are below the speaker's name (h2): a screen reader's users would miss a level that the model
        // leaves out.
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
        // Models list their sources in this form, often without using them in the text.
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

  /** loose: whether paragraphs have space between them. */
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
  // As in CommonMark, the first definition of a name counts.
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

/**
 * Return a link. A link with an unsafe address leads nowhere. A link whose words look like another address shows its
 * destination.
 */
function link(address: string, content: Node[]): HTMLElement {
  const anchor = document.createElement("a");
  anchor.append(...content);
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (!url || !SAFE_PROTOCOLS.has(url.protocol)) return anchor;
  anchor.href = address;
  anchor.target = "_blank";
  anchor.rel = "noopener noreferrer nofollow";
  const leadsTo = destination(url, anchor.textContent ?? "");
  if (leadsTo !== undefined) anchor.append(destinationView(leadsTo));
  return anchor;
}

function destinationView(address: string): HTMLElement {
  const shown = element("bdi", ` (${balanced(address)})`);
  shown.className = "destination";
  return shown;
}

/** Return a box for wide content, which the keyboard can scroll too. */
function scroller(tag: "pre" | "div", content: HTMLElement): HTMLElement {
  const box = element(tag, content);
  box.className = "scroller";
  box.tabIndex = 0;
  return box;
}

/**
 * Return an image's description instead of the image: an address chosen by the model could send the conversation to its
 * server.
 */
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
