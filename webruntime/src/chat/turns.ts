/** Runs tasks one at a time. */

import { AbortError, throwIfAborted } from "../errors.ts";

/**
 * Runs `task` in its turn. If the signal fires before the turn comes, throws AbortError at once and does not run the
 * task.
 */
export type InTurn = <Result>(task: () => Promise<Result>, signal: AbortSignal) => Promise<Result>;

/** Return a function that starts each task when the one before has ended, with or without an error. */
export function oneAtATime(): InTurn {
  let last: Promise<unknown> = Promise.resolve();
  return (task, signal) => {
    const turn = last;
    const run = turn.then(() => {
      throwIfAborted(signal);
      return task();
    });
    last = run.catch(() => undefined);
    return Promise.race([run, abortedBefore(turn, signal)]);
  };
}

/** Reject when the signal fires before `turn` has come. Otherwise never settle. */
function abortedBefore(turn: Promise<unknown>, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const leave = () => reject(new AbortError("Stopped at the caller's request."));
    signal.addEventListener("abort", leave);
    void turn.then(() => signal.removeEventListener("abort", leave));
  });
}
