/** Errors of templates. */

/** An error with Python's name and words, since templates are written and tested in Python. */
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
