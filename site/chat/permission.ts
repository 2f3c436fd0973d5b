/** Explains why a microphone or a camera cannot be used, and what to do. */

const REASONS: Record<string, (device: string) => string> = {
  NotAllowedError: (device) =>
    `The ${device} may not be used: it was not allowed. Allow it for this site in the browser's settings, or attach a file.`,
  NotFoundError: (device) => `No ${device} was found. Connect one, or attach a file.`,
  NotReadableError: (device) =>
    `The ${device} is in use by something else, or switched off. Free it, or attach a file.`,
};

/** Return the explanation. error: the error that getUserMedia threw. */
export function whyNot(error: unknown, device: "microphone" | "camera"): string {
  if (!navigator.mediaDevices) {
    return `The ${device} can only be used on https:// or localhost. Open this page there, or attach a file.`;
  }
  const name = error instanceof Error ? error.name : "";
  return REASONS[name]?.(device) ?? `The ${device} could not be started: ${String(error)}. Attach a file instead.`;
}
