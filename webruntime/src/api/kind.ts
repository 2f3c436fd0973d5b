/** Whether a file is an image, audio or video. Import this file dynamically, when the first file comes: it reads media. */

export { type Kind, kindOfFile } from "../input/kind.ts";
