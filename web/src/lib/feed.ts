import { type Cursor, covers, isAfter, isConnected, type Message, useRoomwatch } from '@roomwatch/react';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useReducer, useRef, useSyncExternalStore } from 'react';
import { noteNames } from '@/lib/called';

export interface FeedScope {
  room?: string;
  project?: string;
  /** Messages that are kept; older ones are on the Events page. */
  limit: number;
  /** While true the list stands still, and what comes is counted. */
  held: boolean;
}

/** A list that grows at its head this often at most. */
const DRAW_EVERY_MS = 500;

/** Sequence number of a cursor: its order within one epoch. */
export const seqOf = (cursor: string) => Number(cursor.slice(cursor.indexOf('-') + 1));
const epochOf = (cursor: string) => cursor.slice(0, cursor.indexOf('-'));

/**
 * Puts newer messages before older ones, newest first, without twins, at most `limit`. A message of another epoch
 * starts anew: the log was restored, and the old positions mean nothing in it.
 */
export function mergeFeed(list: Message[], newer: Message[], limit: number): Message[] {
  const latest = newer.at(-1) ?? list[0];
  if (!latest) return list;
  const epoch = epochOf(latest.cursor);
  const bySeq = new Map<number, Message>();
  for (const message of [...list, ...newer]) {
    if (epochOf(message.cursor) === epoch) bySeq.set(seqOf(message.cursor), message);
  }
  return [...bySeq]
    .sort(([a], [b]) => b - a)
    .slice(0, limit)
    .map(([, message]) => message);
}

/** What happened last, newest first: a page of the log, then the stream. */
export function useFeed({ room, project, limit, held }: FeedScope) {
  const { client, connection, pollInterval } = useRoomwatch();
  const [, redraw] = useReducer((n: number) => n + 1, 0);
  const list = useRef<Message[]>([]);
  const waiting = useRef<Message[]>([]);
  /** Everything up to here is in the list or waits; null until the first page. */
  const known = useRef<Cursor | null>(null);
  /** Where the stream began without going on from anywhere: what came before, only a page can tell. */
  const begins = useRef<Cursor | null>(null);
  const isHeld = useRef(held);
  isHeld.current = held;

  // As the queries of the package do: while the stream gives nothing, the page is asked for now and then.
  const isDown = () => ['polling', 'stale', 'too_many'].includes(connection.getState().status);
  const down = useSyncExternalStore(connection.onState, isDown);

  const page = useQuery({
    queryKey: ['feed', room ?? null, project ?? null, limit],
    queryFn: ({ signal }) => client.events({ room, project, limit }, signal),
    // The stream goes on from here; a fresh page is only needed when the component comes again.
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    refetchInterval: down ? pollInterval : false,
  });
  const { refetch } = page;

  useEffect(() => {
    list.current = [];
    waiting.current = [];
    known.current = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const draw = () => {
      timer = undefined;
      if (!isHeld.current) {
        list.current = mergeFeed(list.current, waiting.current, limit);
        waiting.current = [];
      }
      redraw();
    };
    const stop = connection.onEvent((event) => {
      if (isConnected(event)) {
        if (event.resumed) return;
        begins.current = event.cursor;
        // Before a page is there its own effect looks at this.
        if (known.current !== null && (event.reset || !covers(known.current, event.cursor))) void refetch();
        return;
      }
      known.current &&= event.cursor;
      if ((room !== undefined && event.room !== room) || (project !== undefined && event.project !== project)) return;
      noteNames([event]);
      waiting.current.push(event);
      // Held for long, only the newest can ever be shown.
      if (waiting.current.length > limit * 2) waiting.current = waiting.current.slice(-limit);
      timer ??= setTimeout(draw, DRAW_EVERY_MS);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [connection, refetch, room, project, limit]);

  useEffect(() => {
    if (!page.data) return;
    const { cursor, events } = page.data;
    noteNames(events);
    known.current = cursor;
    // The page was made, something happened, and only then the stream began: neither would bring what lies between.
    if (begins.current !== null && isAfter(begins.current, cursor)) void refetch();
    // What stands here from before the page may have a hole behind it; the page has none.
    const later = list.current.filter((message) => isAfter(message.cursor, cursor));
    list.current = mergeFeed(later, events, limit);
    redraw();
  }, [page.data, refetch, limit]);

  useEffect(() => {
    if (held) return;
    list.current = mergeFeed(list.current, waiting.current, limit);
    waiting.current = [];
    redraw();
  }, [held, limit]);

  return {
    messages: list.current,
    waiting: held ? waiting.current.length : 0,
    isLoading: page.isPending,
    error: page.error,
    refetch,
  };
}
