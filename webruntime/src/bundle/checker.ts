/** Saying what of a bundle does not fit. */

import { brief } from "../brief.ts";
import { BundleError } from "../errors.ts";

/** Throws BundleError with the message where something does not hold. */
export type Check = (holds: boolean, message: string) => void;

export function checker(file: string): Check {
  return (holds, message) => {
    if (!holds) {
      throw new BundleError(`${file}: ${brief(message, 400)}. The bundle is damaged: export it again.`, file);
    }
  };
}
