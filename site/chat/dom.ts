/** Makes elements. */

type Properties<Tag extends keyof HTMLElementTagNameMap> = Partial<Omit<HTMLElementTagNameMap[Tag], "part">> & {
  part?: string;
};

/** An element with properties, ::part() names and children: `make("p", { part: "notice" }, "Hello")`. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  { part, ...properties }: Properties<Tag> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = Object.assign(document.createElement(tag), properties);
  if (part) element.part.value = part;
  element.append(...children);
  return element;
}
