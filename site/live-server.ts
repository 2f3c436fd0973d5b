/** Whether the page comes from `gemtab serve` or `gemtab demo`, which tell their tabs about changes. */

/** The metric by which the server says so in the page's Server-Timing header: no request that could fail is needed. */
const METRIC = "gemtab-live";

/** The address of the live channel. */
export function liveServer(): string | undefined {
  const [navigation] = performance.getEntriesByType("navigation");
  const metrics = (navigation as PerformanceNavigationTiming | undefined)?.serverTiming ?? [];
  return metrics.find(({ name }) => name === METRIC)?.description;
}
