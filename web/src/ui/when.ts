/** Spans of time that end now, by their names in addresses. */
export const SPAN_NAMES = ['1h', '24h', '7d', '30d', '90d', '1y'] as const;
export type Span = (typeof SPAN_NAMES)[number];

const HOUR_MS = 3_600_000;
export const SPANS: Record<Span, { name: string; millis: number }> = {
  '1h': { name: 'Last hour', millis: HOUR_MS },
  '24h': { name: 'Last 24 hours', millis: 24 * HOUR_MS },
  '7d': { name: 'Last 7 days', millis: 168 * HOUR_MS },
  '30d': { name: 'Last 30 days', millis: 720 * HOUR_MS },
  '90d': { name: 'Last 90 days', millis: 2_160 * HOUR_MS },
  '1y': { name: 'Last year', millis: 8_760 * HOUR_MS },
};

/** A span that ends now, or two times. */
export interface When {
  last?: Span | undefined;
  from?: number | undefined;
  to?: number | undefined;
}

/** Returns the two times of an address. */
export const timesOf = ({ last, from, to }: When, now: number) =>
  last ? { from: now - SPANS[last].millis, to: undefined } : { from, to };
