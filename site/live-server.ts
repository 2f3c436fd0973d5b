/** Detects whether the page comes from `gemtab serve` or `gemtab demo`, which report changes to their tabs. */

/** The metric of the page's Server-Timing header that names the live channel. It needs no request that could fail. */
const METRIC = "gemtab-live";

/** Return the address of the live channel, or undefined. */
export function liveServer(): string | undefined {
  const [navigation] = performance.getEntriesByType("navigation");
  const metrics = (navigation as PerformanceNavigationTiming | undefined)?.serverTiming ?? [];
  return metrics.find(({ name }) => name === METRIC)?.description;
}
