/** Parts of a sound, one behind the other. */

/** `parts` in one, of `length` samples in all. */
export function join(parts: readonly Float32Array[], length: number): Float32Array {
  const whole = new Float32Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
