/** Converts callbacks to an async iterable. */

/**
 * Run `start` and yield the events that it emits, in order. The stream ends when `start` ends, and throws its error.
 * `start` gets a signal that fires when the caller's signal fires, or when the reader leaves the loop.
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
