/**
 * Detects whether a file is an image, audio or video. Import this file dynamically, at the first file: it contains the
 * media code.
 */

export { type Kind, kindOfFile } from "../input/kind.ts";
