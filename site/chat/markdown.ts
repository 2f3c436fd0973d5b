/** Streamed markdown as DOM nodes. Model output is not to be trusted: nothing it says can run, load or lead astray. */

import {
  Attr,
  type Attr as AttrType,
  parser,
  parser_end,
  parser_write,
  type Renderer,
  Token,
  type Token as TokenType,
} from "streaming-markdown";

/** Elements by which tokens are shown; no other element is ever made. */
const TAGS: Partial<Record<TokenType, keyof HTMLElementTagNameMap>> = {
  [Token.Blockquote]: "blockquote",
  [Token.Paragraph]: "p",
  // All below the speaker's name (h2): a level that models leave out would be missed by those who listen.
  [Token.Heading_1]: "h3",
  [Token.Heading_2]: "h3",
  [Token.Heading_3]: "h3",
  [Token.Heading_4]: "h3",
  [Token.Heading_5]: "h3",
  [Token.Heading_6]: "h3",
  [Token.Code_Inline]: "code",
  [Token.Italic_Ast]: "em",
  [Token.Italic_Und]: "em",
  [Token.Strong_Ast]: "strong",
  [Token.Strong_Und]: "strong",
  [Token.Strike]: "s",
  [Token.Link]: "a",
  [Token.Raw_URL]: "a",
  [Token.Line_Break]: "br",
  [Token.Rule]: "hr",
  [Token.List_Unordered]: "ul",
  [Token.List_Ordered]: "ol",
  [Token.List_Item]: "li",
  [Token.Checkbox]: "input",
  [Token.Table_Row]: "tr",
  [Token.Table_Cell]: "td",
  [Token.Equation_Block]: "code",
  [Token.Equation_Inline]: "code",
};

const SAFE_PROTOCOLS = new Set(["http:", "https:", "mailto:"]);

/** Less than the 24 levels that the parser's own stack holds. */
const DEEPEST = 20;

/** Writes markdown into `root` as it comes. */
export class MarkdownStream {
  readonly #root: HTMLElement;
  readonly #parser: ReturnType<typeof parser>;
  readonly #open: Node[];
  #plain = false;

  constructor(root: HTMLElement) {
    this.#root = root;
    this.#open = [root];
    this.#parser = parser(this.#renderer());
  }

  write(text: string): void {
    for (const character of text) this.#writeCharacter(character);
  }

  #writeCharacter(character: string): void {
    // Beyond its depth the parser loses count; what follows is shown as it is written.
    this.#plain ||= this.#open.length > DEEPEST;
    if (this.#plain) this.#root.append(character);
    else parser_write(this.#parser, character);
  }

  end(): void {
    if (!this.#plain) parser_end(this.#parser);
  }

  #renderer(): Renderer<undefined> {
    return {
      data: undefined,
      add_token: (_, token) => {
        if (token !== Token.Document) this.#open.push(addElement(this.#top, token));
      },
      end_token: () => {
        if (this.#open.length > 1) this.#open.pop();
      },
      add_text: (_, text) => {
        this.#top.appendChild(document.createTextNode(text));
      },
      set_attr: (_, attribute, value) => setAttribute(this.#top, attribute, value),
    };
  }

  get #top(): Node {
    return this.#open.at(-1) ?? this.#root;
  }
}

/** Adds what shows a token to `parent`; what belongs to the token goes into the node that is returned. */
function addElement(parent: Node, token: TokenType): Node {
  switch (token) {
    case Token.Code_Block:
    case Token.Code_Fence:
      return addScroller(parent, "pre").appendChild(document.createElement("code"));
    case Token.Table:
      return addScroller(parent, "div").appendChild(document.createElement("table")).createTBody();
    case Token.Image:
      return parent.appendChild(image());
    case Token.Checkbox:
      return parent.appendChild(checkbox());
    default:
      return parent.appendChild(document.createElement(TAGS[token] ?? "span"));
  }
}

function setAttribute(node: Node, attribute: AttrType, value: string): void {
  if (attribute === Attr.Href && node instanceof HTMLAnchorElement) setLink(node, value);
  if (attribute === Attr.Checked && node instanceof HTMLInputElement) node.checked = true;
  if (attribute === Attr.Start && node instanceof HTMLOListElement) node.start = Number.parseInt(value, 10) || 1;
}

/** A link that is not of a safe kind stays text. */
function setLink(anchor: HTMLAnchorElement, address: string): void {
  if (!URL.canParse(address) || !SAFE_PROTOCOLS.has(new URL(address).protocol)) return;
  anchor.href = address;
  anchor.target = "_blank";
  anchor.rel = "noopener noreferrer nofollow";
}

/** A box for what may be wider than the page; it can be scrolled by keyboard too. */
function addScroller(parent: Node, tag: "pre" | "div"): HTMLElement {
  const scroller = document.createElement(tag);
  scroller.className = "scroller";
  scroller.tabIndex = 0;
  parent.appendChild(scroller);
  return scroller;
}

/** A picture's description in its place: an address chosen by the model would tell its server what was said. */
function image(): Node {
  const description = document.createElement("span");
  description.className = "image";
  return description;
}

function checkbox(): Node {
  const box = document.createElement("input");
  box.type = "checkbox";
  box.disabled = true;
  return box;
}
