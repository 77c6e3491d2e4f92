import type { RoomwatchClient } from './client';
import type { Connection } from './connection';
import { covers, cursorBefore, newerThan, sameEpoch, seqOf } from './cursor';
import { type EventsFilter, matches } from './filter';
import { isConnected } from './line';
import { Tail } from './tail';
import type { Connected, ConnectionEvent, Cursor, EventsPage, Message } from './wire';

/** Newer events loaded above the event of `at`. */
const ABOVE = 25;
/** Maximum events of a list that was read backwards. Beyond it the reader continues in a new list. */
const READ_MAX = 20_000;
/** Maximum events kept while paused. Beyond it only the count grows, and the list continues with the newest. */
const WAITING_MAX = 2_000;
/** Maximum pages without a match, of up to 50,000 events each, before the reader is asked to continue. */
const EMPTY_PAGES_MAX = 10;

/** State of one end of the list: more pages, a pending page, no more, the limit of one list, or a failure. */
export type ListEnd = 'more' | 'loading' | 'end' | 'full' | { error: unknown };

export interface EventListState {
  /** Newest first. Null until the first answer. */
  events: Message[] | null;
  /** False while paused, and in a list around an event. */
  following: boolean;
  /** Number of matching events that arrived and are not shown. */
  waiting: number;
  /** True if more events wait than `waiting` says, because the stream skipped some while the list was paused. */
  uncounted: boolean;
  older: ListEnd;
  newer: ListEnd;
  /** Events searched since the last match, while a rare filter is looked up. */
  scanned: number;
  /** Error of the first page, or of the page after a reset. */
  error: unknown;
}

export interface EventListOptions {
  client: Pick<RoomwatchClient, 'events'>;
  connection: Pick<Connection, 'onEvent'>;
  filter?: EventsFilter;
  /** Second filter, for what the server cannot tell apart. Events that it refuses count as not there. */
  keep?: (message: Message) => boolean;
  /** Event around which the list is loaded, instead of following the stream. */
  at?: Cursor;
  /** Events of one page. Default 200. */
  limit?: number;
  /** Maximum events of a list that follows the stream; older ones can be loaded again. Default 2,000. */
  max?: number;
  /** Minimum milliseconds between two changes of the list by the stream. Default 250. */
  interval?: number;
  /** Called with the events of each page before they are shown, in log order. */
  onPage?: (events: readonly Message[], place: 'first' | 'older' | 'newer') => void;
}

interface FirstPage {
  page: EventsPage;
  /** Events after the one of `at`. */
  above: EventsPage | null;
  /** Events that arrived while the page was pending. */
  newer: readonly Message[];
}

/**
 * The log as a list, newest first: the newest page, which grows with the stream, and older pages on demand. Subscribe,
 * and read the state.
 */
export class EventList {
  private state: EventListState;
  private readonly listeners = new Set<() => void>();
  private readonly tail = new Tail();
  private readonly limit: number;
  private readonly filter: EventsFilter;
  private waiting: Message[] = [];
  private waitingCount = 0;
  /** Positions at which the next older and the next newer page start. */
  private before: Cursor | null = null;
  private after: Cursor | null = null;
  /** Every event up to here is shown or waits. */
  private known: Cursor | null = null;
  /** True while a page is pending that replaces the list: nothing is added to the old one. */
  private loading = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private abort = new AbortController();

  constructor(private readonly options: EventListOptions) {
    this.limit = options.limit ?? 200;
    this.filter = options.filter ?? {};
    this.state = {
      events: null,
      following: options.at === undefined,
      waiting: 0,
      uncounted: false,
      older: 'loading',
      newer: 'end',
      scanned: 0,
      error: null,
    };
  }

  readonly getState = (): EventListState => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  };

  /** Listens to the stream and fetches the first page. Returns a function that stops both. */
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

  /** Stops the list. Events that arrive are counted. */
  readonly pause = (): void => {
    if (this.state.following) this.set({ following: false });
  };

  /** Shows the events that wait and follows the stream again. Does nothing in a list around an event. */
  readonly follow = (): void => {
    if (this.options.at !== undefined || this.state.following) return;
    this.set({ following: true });
    if (this.state.uncounted) void this.load();
    else this.draw();
  };

  /** Fetches the list anew, after a failure for instance. */
  readonly load = (): Promise<void> => this.replace(false);

  /** Fetches the newest page again while the stream is down. A failure leaves the list as it is. */
  readonly poll = async (): Promise<void> => {
    if (this.state.following && !this.loading) await this.replace(true);
  };

  /** Fetches the next older page. Pages without a match are skipped, up to a limit. */
  readonly loadOlder = async (): Promise<void> => {
    const { signal } = this.abort;
    const { older, events } = this.state;
    if (older === 'end' || older === 'full' || events === null || this.before === null) return;
    if (older === 'loading' && events.length > 0) return;
    this.set({ older: 'loading' });
    try {
      for (let pages = 0; pages < EMPTY_PAGES_MAX && this.before !== null; pages++) {
        const from: Cursor = this.before;
        const page = await this.fetch({ before: from }, signal);
        // The list was replaced meanwhile: this page does not continue it.
        if (signal.aborted) return;
        this.before = page.prev;
        if (page.events.length > 0) {
          this.options.onPage?.(page.events, 'older');
          const all = [...(this.state.events ?? []), ...page.events.reverse()];
          this.set({ events: all, scanned: 0, older: !page.prev ? 'end' : all.length >= READ_MAX ? 'full' : 'more' });
          return;
        }
        this.set({ scanned: this.state.scanned + seqOf(from) - (page.prev ? seqOf(page.prev) : 0) });
      }
      this.set({ older: this.before === null ? 'end' : 'more' });
    } catch (error) {
      if (!signal.aborted) this.set({ older: { error } });
    }
  };

  /** Fetches the next newer page of a list around an event. */
  readonly loadNewer = async (): Promise<void> => {
    const { signal } = this.abort;
    if (this.after === null || this.state.newer === 'loading' || this.state.events === null) return;
    this.set({ newer: 'loading' });
    try {
      for (let pages = 0; pages < EMPTY_PAGES_MAX; pages++) {
        const page = await this.fetch({ after: this.after }, signal);
        if (signal.aborted) return;
        this.after = page.next ?? page.cursor;
        this.waiting = [...newerThan(this.after, this.waiting)];
        if (page.next === null) this.waitingCount = this.waiting.length;
        if (page.events.length > 0 || page.next === null) {
          this.options.onPage?.(page.events, 'newer');
          this.set({
            events: [...page.events.reverse(), ...(this.state.events ?? [])],
            newer: page.next || this.tail.hasHole(this.after) ? 'more' : 'end',
            waiting: this.waitingCount,
          });
          return;
        }
      }
      this.set({ newer: 'more' });
    } catch (error) {
      if (!signal.aborted) this.set({ newer: { error } });
    }
  };

  private async fetch(
    where: { before?: Cursor; after?: Cursor; limit?: number },
    signal: AbortSignal,
  ): Promise<EventsPage> {
    const page = await this.options.client.events({ ...this.filter, limit: this.limit, ...where }, signal);
    const { keep } = this.options;
    return keep ? { ...page, events: page.events.filter(keep) } : page;
  }

  private async replace(quiet: boolean): Promise<void> {
    const { at } = this.options;
    this.abort.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    this.loading = true;
    if (!quiet) this.set({ error: null, older: 'loading' });
    try {
      const first = await (at === undefined ? this.fetchNewest(signal) : this.fetchAround(at, signal));
      if (signal.aborted) return;
      this.loading = false;
      this.show(first);
      // Without this, events that are newer than the page would wait for the next event.
      if (this.state.following && this.waiting.length > 0) this.draw();
      if (this.state.events?.length === 0 && first.page.prev) await this.loadOlder();
    } catch (error) {
      if (signal.aborted) return;
      this.loading = false;
      if (!quiet || this.state.events === null) this.set({ error, older: { error } });
    }
  }

  private async fetchNewest(signal: AbortSignal): Promise<FirstPage> {
    const request = () => this.fetch({}, signal);
    const { answer } = await this.tail.fetch(request, (_page, newer) => newer);
    return { page: answer, above: null, newer: newerThan(answer.cursor, this.waiting) };
  }

  private async fetchAround(at: Cursor, signal: AbortSignal): Promise<FirstPage> {
    const above = await this.fetch({ after: cursorBefore(at), limit: ABOVE + 1 }, signal);
    const page = await this.fetch({ before: at }, signal);
    return { page, above, newer: this.waiting };
  }

  private show({ page, above, newer }: FirstPage): void {
    const found = [...page.events, ...(above?.events ?? [])];
    this.options.onPage?.(found, 'first');
    this.before = page.prev;
    this.after = above && (above.next ?? above.cursor);
    this.known = newer.at(-1)?.cursor ?? page.cursor;
    this.waiting = [...newer];
    this.waitingCount = newer.length;
    this.set({
      events: found.reverse(),
      waiting: this.waitingCount,
      uncounted: false,
      older: page.prev ? 'more' : 'end',
      newer: above?.next || (this.after !== null && this.tail.hasHole(this.after)) ? 'more' : 'end',
      scanned: 0,
      error: null,
    });
  }

  private hear(event: ConnectionEvent): void {
    this.tail.hear(event);
    if (isConnected(event)) {
      if (!event.resumed) this.onStart(event);
      return;
    }
    if (this.known !== null && covers(this.known, event.cursor)) return;
    this.known = event.cursor;
    if (!matches(this.filter, event) || this.options.keep?.(event) === false) return;
    this.waiting.push(event);
    this.waitingCount++;
    if (this.waiting.length > WAITING_MAX * 2) this.waiting = this.waiting.slice(-WAITING_MAX);
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.draw();
    }, this.options.interval ?? 250);
  }

  /** The stream starts anew: events are missing unless the list reaches its start. */
  private onStart({ cursor, reset }: Connected): void {
    if (this.options.at !== undefined) {
      if (this.after !== null && this.tail.hasHole(this.after) && this.state.newer === 'end')
        this.set({ newer: 'more' });
      return;
    }
    // A pending page is checked when it arrives.
    if (this.loading || (!reset && this.known !== null && covers(this.known, cursor))) return;
    // A paused list stays, unless the log is another one: then its positions mean nothing any more.
    if (this.state.following || this.known === null || !sameEpoch(this.known, cursor)) void this.load();
    else this.set({ uncounted: true });
  }

  private draw(): void {
    const { following, events } = this.state;
    if (!following || events === null || this.loading) {
      this.set({ waiting: this.waitingCount });
      return;
    }
    const max = this.options.max ?? 2_000;
    const lost = this.waitingCount > this.waiting.length;
    const newer = this.waiting.reverse();
    let next = lost ? newer : [...newer, ...events];
    let { older } = this.state;
    if (lost || next.length > max) {
      // A pending older page would not continue the last event any more.
      this.abort.abort();
      this.abort = new AbortController();
      next = next.slice(0, max);
      this.before = next.at(-1)?.cursor ?? null;
      older = this.before ? 'more' : 'end';
    }
    this.waiting = [];
    this.waitingCount = 0;
    this.set({ events: next, waiting: 0, older });
  }

  private set(next: Partial<EventListState>): void {
    this.state = { ...this.state, ...next };
    for (const listener of this.listeners) listener();
  }
}
