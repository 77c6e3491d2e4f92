import { type Cursor, cursorOf, type EventsPage, type RoomwatchClient, seqOf } from '@roomwatch/react';

type Client = Pick<RoomwatchClient, 'events'>;

/** Maximum requests of one search. More are not needed for any log; a wrong answer must not cause an endless loop. */
const ROUNDS_MAX = 64;

/**
 * Returns the cursor of the first event received at `millis` or later; of the newest one if all are earlier; null if
 * the log is empty. The log has no index by time, but its times ascend: this is a binary search with one event for each
 * request.
 */
export async function cursorAt(client: Client, millis: number, signal?: AbortSignal): Promise<Cursor | null> {
  const page = await client.events({ limit: 1 }, signal);
  const newest = page.events.at(-1);
  if (!newest || newest.timestamp < millis) return newest?.cursor ?? null;
  let found = newest.cursor;
  let low = page.first ? seqOf(page.first) : 1;
  let high = seqOf(newest.cursor);
  for (let round = 0; low < high && round < ROUNDS_MAX; round++) {
    const middle = Math.floor((low + high) / 2);
    const event = await firstAfter(client, cursorOf({ epoch: page.epoch, seq: middle - 1 }), signal);
    // The caller may not see some events: then the next visible one is used.
    if (!event || seqOf(event.cursor) > high) high = middle;
    else if (event.timestamp >= millis) {
      found = event.cursor;
      high = middle;
    } else low = seqOf(event.cursor) + 1;
  }
  return found;
}

async function firstAfter(client: Client, after: Cursor, signal?: AbortSignal) {
  let page: EventsPage;
  let at: Cursor | null = after;
  do {
    page = await client.events({ after: at, limit: 1 }, signal);
    at = page.next;
    // An empty page with a `next` has no visible event. The next page may have one.
  } while (page.events.length === 0 && at !== null);
  return page.events[0];
}
