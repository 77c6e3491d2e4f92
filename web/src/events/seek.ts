import {
  type Cursor,
  cursorBefore,
  cursorOf,
  type EventsPage,
  type Message,
  type RoomwatchClient,
  seqOf,
} from '@roomwatch/react';

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

/** Maximum difference between LiveKit's clock, from which sessions have their times, and the arrival of an event. */
const CLOCKS_MS_MAX = 2_000;
/** Maximum delay of a webhook whose participant or track is known. */
const DELAY_MS_MAX = 60_000;
/** Events after the place that are looked at. */
const LOOK = 200;

export interface Wanted {
  /** Unix milliseconds, by LiveKit's clock. */
  at: number;
  /** Participant or track that the event is about. */
  sid?: string;
  room?: string;
  project?: string;
}

/**
 * Returns the cursor of the event that a time of a session means: the one about `sid` that is nearest, else the nearest
 * within two seconds, else the first one after. An event can arrive before the time that LiveKit's clock gave it.
 */
export async function cursorOfEvent(client: Client, wanted: Wanted, signal?: AbortSignal): Promise<Cursor | null> {
  const { at, sid, room, project } = wanted;
  const start = await cursorAt(client, at - CLOCKS_MS_MAX, signal);
  if (start === null) return null;
  const { events } = await client.events({ after: cursorBefore(start), limit: LOOK, room, project }, signal);
  const near = (among: Message[]) =>
    among.reduce<Message | undefined>(
      (best, one) => (best && Math.abs(best.timestamp - at) <= Math.abs(one.timestamp - at) ? best : one),
      undefined,
    );
  const own = events.filter((event) => event.timestamp <= at + DELAY_MS_MAX && isAbout(event, sid));
  const close = events.filter(({ timestamp }) => Math.abs(timestamp - at) <= CLOCKS_MS_MAX);
  return (near(own) ?? near(close) ?? events[0])?.cursor ?? cursorAt(client, at, signal);
}

/** Returns true for a join or a leave of the participant, and for the start or the end of the track. */
function isAbout({ type, data }: Message, sid: string | undefined): boolean {
  if (sid === undefined) return false;
  if (type.startsWith('participant_')) return data.participant?.sid === sid;
  return (data.track as { sid?: unknown } | undefined)?.sid === sid;
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
