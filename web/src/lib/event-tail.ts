import {
  type Connection,
  type ConnectionEvent,
  type Cursor,
  covers,
  type EventsPage,
  isAfter,
  isConnected,
  type Message,
  matches,
  type RoomwatchClient,
} from '@roomwatch/react';
import { noteNames } from '@/lib/called';
import { seqOf } from '@/lib/feed';

/** Events of one page of the log. */
const PAGE = 200;
/** Newer events shown above the one that was jumped to. */
const ABOVE = 25;
/** A tail that is followed keeps this many; older ones are a page away. */
const FOLLOWED_MAX = 2_000;
/** Read back further than this, one goes on from there: a page must not grow without end. */
const READ_MAX = 20_000;
/** Of what waits while paused. Beyond it only the count grows, and resuming starts from the newest. */
const WAITING_MAX = 2_000;
/** A list that grows at its head is drawn this often at most. */
const DRAW_EVERY_MS = 250;
/** Pages in a row without a single match, of up to 50,000 events each, before the user is asked whether to go on. */
const EMPTY_PAGES_MAX = 10;

/** One end of the list: is there more, is it being fetched, or why not. */
export type End = 'more' | 'loading' | 'end' | 'full' | { error: unknown };

export interface TailState {
  /** Newest first. Null until the first answer. */
  rows: Message[] | null;
  following: boolean;
  /** Events that match and are not shown, because the tail is paused or stands at a cursor. */
  waiting: number;
  /** More wait than were counted: while the tail was paused the stream has skipped some. */
  uncounted: boolean;
  older: End;
  newer: End;
  /** Events looked at in vain since the last match, while a rare filter is searched for. */
  scanned: number;
  /** Why there are no rows at all. */
  error: unknown;
}

export interface TailOptions {
  client: Pick<RoomwatchClient, 'events'>;
  connection: Pick<Connection, 'onEvent'>;
  filter: { room?: string; type?: string[]; project?: string };
  /** Stand at this event instead of following. */
  at?: Cursor;
}

/**
 * The log as a list: the newest events at its head, growing with the stream while it is followed, and pages of the log
 * behind. Knows no React: subscribe, and read the state.
 */
export class EventTail {
  private state: TailState;
  private readonly listeners = new Set<() => void>();
  private waiting: Message[] = [];
  private waitingCount = 0;
  /** Where the next older page begins, and the next newer one. */
  private before: Cursor | null = null;
  private after: Cursor | null = null;
  /** Everything up to here is shown or waits: where the last page ended, moved on by the stream. */
  private known: Cursor | null = null;
  /** Where the stream began without going on from anywhere: what came before, only a page can tell. */
  private begins: Cursor | null = null;
  /** A page that replaces the list is under way: until it is there nothing is put above the old one. */
  private loading = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private abort = new AbortController();

  constructor(private readonly options: TailOptions) {
    this.state = {
      rows: null,
      following: options.at === undefined,
      waiting: 0,
      uncounted: false,
      older: 'loading',
      newer: 'end',
      scanned: 0,
      error: null,
    };
  }

  readonly getState = () => this.state;

  readonly subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  };

  /** Listens first, then fetches: nothing is missed between the two. Returns how to stop. */
  start(): () => void {
    this.abort = new AbortController();
    const stop = this.options.connection.onEvent((event) => this.hear(event));
    void this.load();
    return () => {
      stop();
      this.abort.abort();
      clearTimeout(this.timer);
      this.timer = undefined;
    };
  }

  /** Stands still; what comes is counted. */
  readonly pause = () => {
    if (this.state.following) this.set({ following: false });
  };

  /** Shows what waited and goes on with the stream. Only for a tail that does not stand at a cursor. */
  readonly follow = () => {
    if (this.options.at !== undefined || this.state.following) return;
    this.set({ following: true });
    if (this.state.uncounted) void this.load();
    else this.draw();
  };

  /** Starts over, after a failure or when the log is another one. */
  readonly load = async () => {
    const { client, filter, at } = this.options;
    const signal = this.restart();
    this.loading = true;
    this.set({ error: null, older: 'loading' });
    try {
      const newer =
        at === undefined ? null : await client.events({ ...filter, after: before(at), limit: ABOVE + 1 }, signal);
      let page = await client.events({ ...filter, before: at, limit: PAGE }, signal);
      // The page was made, something happened, and only then the stream began: neither would bring what lies between.
      if (at === undefined && this.begins !== null && isAfter(this.begins, page.cursor))
        page = await client.events({ ...filter, limit: PAGE }, signal);
      if (signal.aborted) return;
      const found = [...page.events, ...(newer?.events ?? [])];
      noteNames(found);
      const rows = found.reverse();
      this.before = page.prev;
      this.after = newer && (newer.next ?? newer.cursor);
      this.known = page.cursor;
      // What the page knows already came by the stream too.
      if (at === undefined) this.waiting = this.waiting.filter(({ cursor }) => !covers(page.cursor, cursor));
      this.waitingCount = this.waiting.length;
      this.set({
        rows,
        waiting: this.waitingCount,
        uncounted: false,
        older: page.prev ? 'more' : 'end',
        newer: newer?.next ? 'more' : 'end',
        scanned: 0,
      });
      this.loading = false;
      if (newer && this.begins !== null) this.missed(this.begins);
      // What has come after the page would otherwise wait for the next event.
      if (this.state.following && this.waiting.length > 0) this.draw();
      if (rows.length === 0 && page.prev) await this.loadOlder();
    } catch (error) {
      if (signal.aborted) return;
      this.loading = false;
      this.set({ error, older: { error } });
    }
  };

  /** One more page of the past; goes on through pages without a match, up to a limit. */
  readonly loadOlder = async () => {
    const { client, filter } = this.options;
    const { signal } = this.abort;
    const { older, rows } = this.state;
    if (older === 'end' || older === 'full' || rows === null || this.before === null) return;
    if (older === 'loading' && rows.length > 0) return;
    this.set({ older: 'loading' });
    try {
      for (let pages = 0; pages < EMPTY_PAGES_MAX && this.before !== null; pages++) {
        const from: Cursor = this.before;
        const page: EventsPage = await client.events({ ...filter, before: from, limit: PAGE }, signal);
        // The list has been made anew meanwhile: this page is no longer its continuation.
        if (signal.aborted) return;
        this.before = page.prev;
        if (page.events.length > 0) {
          noteNames(page.events, true);
          const all = [...(this.state.rows ?? []), ...page.events.reverse()];
          this.set({ rows: all, scanned: 0, older: !page.prev ? 'end' : all.length >= READ_MAX ? 'full' : 'more' });
          return;
        }
        this.set({ scanned: this.state.scanned + seqOf(from) - (page.prev ? seqOf(page.prev) : 0) });
      }
      this.set({ older: this.before === null ? 'end' : 'more' });
    } catch (error) {
      if (!signal.aborted) this.set({ older: { error } });
    }
  };

  /** The next page towards now, for a tail that stands at a cursor. */
  readonly loadNewer = async () => {
    const { client, filter } = this.options;
    const { signal } = this.abort;
    if (this.after === null || this.state.newer === 'loading' || this.state.rows === null) return;
    this.set({ newer: 'loading' });
    try {
      for (let pages = 0; pages < EMPTY_PAGES_MAX; pages++) {
        const page: EventsPage = await client.events({ ...filter, after: this.after, limit: PAGE }, signal);
        if (signal.aborted) return;
        const known = page.next ?? page.cursor;
        this.after = known;
        this.waiting = this.waiting.filter(({ cursor }) => !covers(known, cursor));
        if (page.next === null) this.waitingCount = this.waiting.length;
        if (page.events.length > 0 || page.next === null) {
          noteNames(page.events);
          this.set({
            rows: [...page.events.reverse(), ...(this.state.rows ?? [])],
            newer: page.next ? 'more' : 'end',
            waiting: this.waitingCount,
          });
          if (page.next === null && this.begins !== null) this.missed(this.begins);
          return;
        }
      }
      this.set({ newer: 'more' });
    } catch (error) {
      if (!signal.aborted) this.set({ newer: { error } });
    }
  };

  private hear(event: ConnectionEvent) {
    if (isConnected(event)) {
      // One that goes on after our cursor leaves no hole.
      if (!event.resumed) this.missed(event.cursor, event.reset !== undefined);
      return;
    }
    this.known = event.cursor;
    noteNames([event]);
    if (!matches(this.options.filter, event)) return;
    this.waiting.push(event);
    this.waitingCount++;
    if (this.waiting.length > WAITING_MAX * 2) this.waiting = this.waiting.slice(-WAITING_MAX);
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.draw();
    }, DRAW_EVERY_MS);
  }

  /** The stream begins at `cursor`: unless the rows reach that far, there is a hole before it. */
  private missed(cursor: Cursor, reset = false) {
    this.begins = cursor;
    if (this.options.at !== undefined) {
      if (this.after !== null && !covers(this.after, cursor) && this.state.newer === 'end') this.set({ newer: 'more' });
      return;
    }
    // Without rows the first page is still under way: it looks for itself where the stream began.
    if (!reset && (this.state.rows === null || (this.known !== null && covers(this.known, cursor)))) return;
    // Whoever reads goes on reading, unless the log is another one: then these positions mean nothing any more.
    if (this.state.following || this.known === null || !sameEpoch(this.known, cursor)) void this.load();
    else this.set({ uncounted: true });
  }

  /** Forgets every page that is still under way. */
  private restart(): AbortSignal {
    this.abort.abort();
    this.abort = new AbortController();
    return this.abort.signal;
  }

  private draw() {
    const { following, rows } = this.state;
    // A page that is under way will say which of these it knows.
    if (!following || rows === null || this.loading) return this.set({ waiting: this.waitingCount });
    const newest = rows[0];
    const fresh = newest
      ? this.waiting.filter(({ cursor }) => !sameEpoch(cursor, newest.cursor) || seqOf(cursor) > seqOf(newest.cursor))
      : this.waiting;
    const lost = this.waitingCount > this.waiting.length;
    let next = lost ? fresh.reverse() : [...fresh.reverse(), ...rows];
    let older = this.state.older;
    if (lost || next.length > FOLLOWED_MAX) {
      // An older page that is under way would no longer follow on the last row.
      this.restart();
      next = next.slice(0, FOLLOWED_MAX);
      this.before = next.at(-1)?.cursor ?? null;
      older = this.before ? 'more' : 'end';
    }
    this.waiting = [];
    this.waitingCount = 0;
    this.set({ rows: next, waiting: 0, older });
  }

  private set(next: Partial<TailState>) {
    this.state = { ...this.state, ...next };
    for (const listener of this.listeners) listener();
  }
}

const epochOf = (cursor: Cursor) => cursor.slice(0, cursor.indexOf('-'));
const sameEpoch = (a: Cursor, b: Cursor) => epochOf(a) === epochOf(b);

/** The position just before: `after` it comes the event itself. */
const before = (cursor: Cursor): Cursor => `${epochOf(cursor)}-${Math.max(0, seqOf(cursor) - 1)}`;
