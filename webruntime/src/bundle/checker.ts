/** Errors for parts of a bundle that do not fit. */

import { brief } from "../brief.ts";
import { BundleError } from "../errors.ts";

/** Throws BundleError with the message if `holds` is false. */
export type Check = (holds: boolean, message: string) => void;

/** The check for a file of a bundle. Errors begin with the file's name. */
export function checker(file: string): Check {
  return (holds, message) => {
    if (!holds) {
      throw new BundleError(`${file}: ${brief(message, 400)}. The bundle is damaged: export it again.`, file);
    }
  };
}
