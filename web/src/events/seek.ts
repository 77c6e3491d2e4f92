import { type Cursor, cursorOf, type EventsPage, type RoomwatchClient, seqOf } from '@roomwatch/react';

type Client = Pick<RoomwatchClient, 'events'>;

/** Halving a log of more events than atoms ends sooner; a server that answers nonsense must not keep us here. */
const ROUNDS_MAX = 64;

/**
 * The cursor of the first event received at `millis` or later; of the newest one when all are earlier, and null when the
 * log is empty. The log knows positions and no times, but its times ascend: so it is halved, one event a question.
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
    // Some events cannot be seen by everybody: then the next one that can speaks for them.
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
    // An empty page with a `next` means: nothing visible so far, go on.
  } while (page.events.length === 0 && at !== null);
  return page.events[0];
}
