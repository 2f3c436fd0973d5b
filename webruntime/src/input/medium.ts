/** Images, audio and videos as the chat side handles them. Their content is decoded when a tower needs it. */

import type { TowerName } from "../messages.ts";

/** Arrays by the names of a tower's inputs. rows: the number of patches or spectrogram frames. */
export interface TowerInputs {
  arrays: Record<string, Float32Array | Uint32Array>;
  rows: number;
}

/** One image, video frame or audio segment. A tower encodes it as `tokens` rows. */
export interface Item {
  tower: TowerName;
  /** Identifies the content and its preparation. */
  key: string;
  tokens: number;
  /** Return the tower's inputs. Throws MediaError for a damaged file, and AbortError. */
  inputs(signal: AbortSignal | undefined): Promise<TowerInputs>;
}

/** The medium of one placeholder. */
export interface Medium {
  kind: "image" | "audio" | "video";
  /** One item for an image; segments for audio; frames, then audio segments, for a video. */
  items: readonly Item[];
  /** The times of a video's frames, mm:ss. */
  stamps: readonly string[];
  /** Release the decoded data. A later call of `inputs` decodes again. */
  release(): void;
}
