/** Callbacks as an async iterable. */

/**
 * Runs `start` and yields what it emits, in order; ends when it ends, throws what it throws. `start` is given a signal
 * that fires when the caller's does, or when the reader leaves the loop.
 */
export async function* eventStream<Event>(
  signal: AbortSignal | undefined,
  start: (emit: (event: Event) => void, stop: AbortSignal) => Promise<void>,
): AsyncGenerator<Event, void, void> {
  const waiting: Event[] = [];
  let wake = () => {};
  let running = true;
  const left = new AbortController();
  const emit = (event: Event) => {
    waiting.push(event);
    wake();
  };
  const work = start(emit, signal ? AbortSignal.any([signal, left.signal]) : left.signal).finally(() => {
    running = false;
    wake();
  });
  work.catch(() => undefined);
  try {
    while (running || waiting.length > 0) {
      if (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      else yield waiting.shift() as Event;
    }
    await work;
  } finally {
    left.abort();
    await work.catch(() => undefined);
  }
}
