/** What goes wrong in a template. */

/** Named and worded as in Python, where templates are written and tried. */
export class TemplateError extends Error {
  override readonly name: string;

  constructor(message: string, name = "TemplateError") {
    super(message);
    this.name = name;
  }
}

export function fail(message: string, name?: string): never {
  throw new TemplateError(message, name);
}
