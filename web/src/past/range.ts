import { SPAN_NAMES, SPANS, type Span } from '@/ui/when';

const MINUTE_MS = 60_000;
/** Smallest and largest range, in milliseconds. */
const RANGE_MIN = 2 * MINUTE_MS;
const RANGE_MAX = SPANS['30d'].millis;
/** Range around a moment that is not in the last hour. */
const AROUND_MS = 60 * MINUTE_MS;

export interface Range {
  from: number;
  to: number;
}

/** Reads the range of an address: a span that ends now, as "24h", or two times, as "1764500000000-1764503600000". */
export function rangeOf(text: string | undefined, moment: number, now: number): Range {
  const span = SPAN_NAMES.find((one) => one === text);
  const end = Math.ceil(now / MINUTE_MS) * MINUTE_MS;
  if (span) return { from: end - SPANS[span].millis, to: end };
  const [from = Number.NaN, to = Number.NaN] = /^\d{1,15}-\d{1,15}$/.test(text ?? '')
    ? (text ?? '').split('-').map(Number)
    : [];
  if (to - from >= RANGE_MIN && to - from <= RANGE_MAX) return { from, to };
  if (moment <= now && moment > end - SPANS['1h'].millis) return { from: end - SPANS['1h'].millis, to: end };
  return { from: moment - AROUND_MS / 2, to: moment + AROUND_MS / 2 };
}

export const rangeText = ({ from, to }: Range) => `${Math.round(from)}-${Math.round(to)}`;

/** Makes a range longer or shorter. The fixed time keeps its place; one outside of the range moves to its centre. */
export function zoomed({ from, to }: Range, factor: number, fixed: number): Range {
  const length = Math.min(RANGE_MAX, Math.max(RANGE_MIN, (to - from) * factor));
  const place = fixed >= from && fixed <= to ? (fixed - from) / (to - from) : 0.5;
  return { from: fixed - place * length, to: fixed + (1 - place) * length };
}

/** Returns the range that has the moment in it: the same, or one of the same length. */
export function following(range: Range, moment: number): Range {
  if (moment >= range.from && moment <= range.to) return range;
  return zoomed(range, 1, moment);
}

export const isSpan = (text: string | undefined): text is Span => SPAN_NAMES.some((one) => one === text);
export const canZoom = ({ from, to }: Range, factor: number) =>
  factor < 1 ? to - from > RANGE_MIN : to - from < RANGE_MAX;
