/** Work that is done one piece at a time. */

import { AbortError, throwIfAborted } from "../errors.ts";

/** Runs `task` in its turn. Throws AbortError, at once and without running it, when the signal fires before that. */
export type InTurn = <Result>(task: () => Promise<Result>, signal: AbortSignal) => Promise<Result>;

/** Starts each task when the one before has ended, well or badly. */
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

/** Rejects when the signal fires before `turn` has come; never settles otherwise. */
function abortedBefore(turn: Promise<unknown>, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const leave = () => reject(new AbortError("Stopped at the caller's request."));
    signal.addEventListener("abort", leave);
    void turn.then(() => signal.removeEventListener("abort", leave));
  });
}
