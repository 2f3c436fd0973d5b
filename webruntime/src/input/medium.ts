/** Pictures, sound and clips as the chat side sees them: what is in them is read when a tower is to have it. */

import type { TowerName } from "../messages.ts";

/** Arrays by the names of a tower's inputs; rows: patches or frames. */
export interface TowerInputs {
  arrays: Record<string, Float32Array | Uint32Array>;
  rows: number;
}

/** One picture, frame, or stretch of sound, which a tower makes `tokens` rows of. */
export interface Item {
  tower: TowerName;
  /** Says what is in it, and how it was prepared. */
  key: string;
  tokens: number;
  /** Throws MediaError for what turns out to be damaged, and AbortError. */
  inputs(signal: AbortSignal | undefined): Promise<TowerInputs>;
}

/** What one placeholder stands for. */
export interface Medium {
  kind: "image" | "audio" | "video";
  /** Of a clip: its frames, then its sound. */
  items: readonly Item[];
  /** The times of a clip's frames, mm:ss. */
  stamps: readonly string[];
  /** Lets go of what was decoded; it is decoded again when it is asked for. */
  release(): void;
}
