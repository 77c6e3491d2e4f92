import type { Message } from '@roomwatch/react';

/** Delay from which an event counts as late. LiveKit's times are whole seconds. */
const LATE_MS = 5_000;

/** Returns when an event happened by LiveKit's clock. A leave that Roomwatch found was after the last time it was seen. */
export function happenedAt({ data }: Pick<Message, 'data'>): number | null {
  const { notBefore } = (data.roomwatch ?? {}) as { notBefore?: unknown };
  if (typeof notBefore === 'number') return notBefore;
  const seconds = Number(data.createdAt);
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : null;
}

/**
 * Returns the events that were received later than they happened, with that time on Roomwatch's clock. Clocks differ:
 * the smallest delay counts as none.
 */
export function lateOf(events: readonly Message[]): Map<string, number> {
  const delays = events.flatMap((one) => {
    const at = happenedAt(one);
    return at === null ? [] : [{ cursor: one.cursor, at, delay: one.timestamp - at }];
  });
  const clocks = delays.reduce((least, { delay }) => Math.min(least, delay), Number.POSITIVE_INFINITY);
  // Without an event that came at once, the clocks are unknown. They differ by six minutes at most.
  const skew = Math.abs(clocks) < 360_000 ? clocks : 0;
  return new Map(delays.flatMap(({ cursor, at, delay }) => (delay - skew > LATE_MS ? [[cursor, at + skew]] : [])));
}
