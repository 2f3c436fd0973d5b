/** Writes numbers and names as text. */

import type { AdapterSummary, ChatResult, MediaEvent, MediaKind } from "../../webruntime/src/api/index.ts";

/** Return a number of bytes as kB, MB or GB. */
export function bytes(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)} GB`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(count >= 1e7 ? 0 : 1)} MB`;
  return `${Math.ceil(count / 1e3)} kB`;
}

/** Return the name of a GPU. A software adapter is named as such, because it explains the speed. */
export function gpuName({ vendor, architecture, description, software }: AdapterSummary): string {
  const name = description || [vendor, architecture].filter(Boolean).join(" ") || "GPU";
  return software ? `${name} (software, runs on the CPU)` : name;
}

/** Return a short note about a finished answer. Normal facts are left out. */
export function answerNote({ finish, stats }: Pick<ChatResult, "finish" | "stats">, context: number): string {
  const parts = [];
  if (finish === "abort") parts.push("stopped");
  if (finish === "lost") parts.push("cut off: the GPU was lost");
  if (finish === "memory") parts.push("cut off: the GPU has no memory for a longer conversation");
  if (finish === "length")
    parts.push(
      stats.contextUsed >= context ? "cut off: the context is full" : "cut off: the maximum length is reached",
    );
  if (stats.tokensPerSecond > 0) parts.push(`${stats.tokensPerSecond.toFixed(1)} tokens/s`);
  if (stats.firstTokenSeconds > 0) parts.push(`first token after ${stats.firstTokenSeconds.toFixed(2)} s`);
  if (stats.contextUsed > 0) parts.push(`context ${stats.contextUsed} of ${context}`);
  return parts.join(" · ");
}

const KINDS: Record<MediaKind, string> = { image: "image", audio: "audio", video: "video" };
const DOING: Record<MediaKind, string> = { image: "Looking at", audio: "Listening to", video: "Watching" };

/** Return the text for a step of media processing. */
export function mediaNote(event: MediaEvent): string {
  if (event.stage === "load") {
    const part = event.tower === "image" ? "sees" : "hears";
    const share = event.total > 0 ? ` ${bytes(event.loaded)} of ${bytes(event.total)}` : "";
    return `Loading the part that ${part}…${share}`;
  }
  const which = event.of > 1 ? `${KINDS[event.kind]} ${event.number} of ${event.of}` : `the ${KINDS[event.kind]}`;
  if (event.stage === "read") return `Opening ${which}…`;
  const part = event.parts > 1 ? `, ${event.part} of ${event.parts}` : "";
  return `${DOING[event.kind]} ${which}${part}…`;
}

/** Return the notice while the GPU or the worker does not respond to an answer, or to a load. */
export function stallNote(seconds: number): string {
  return `The model has not responded for ${seconds} seconds. Wait, or stop the answer. If it does not stop, the model is unloaded.`;
}

/** Return the notice while the GPU does not respond to a load. */
export function slowNote(seconds: number): string {
  return `The GPU has not responded for ${seconds} seconds. A slow GPU may need minutes. Cancel stops loading.`;
}
