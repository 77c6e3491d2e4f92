import type { RoomwatchClient } from './client';
import { compareCursors, cursorBefore } from './cursor';
import type { EventsFilter } from './filter';
import { UNKNOWN } from './tail';
import type { Cursor, Message } from './wire';

/** Events of one page. */
const PAGE = 200;
/** Distance from an end of the loaded events at which the next page is fetched: ahead of the steps. */
const AHEAD = 100;
/** Maximum loaded events. Beyond it those that are far from the moment are dropped. */
const EVENTS_MAX = 4_000;

/** A state at one moment, as the server answered. */
export interface Then<S> {
  /** The last event in it. */
  cursor: Cursor;
  /** Unix milliseconds at which that event was received. Null before the first event. */
  at: number | null;
  /** False if it is not the state of the moment, but the nearest one that is kept. */
  exact: boolean;
  state: S;
}

export interface ReplayState<S> {
  /** Unix milliseconds. */
  moment: number;
  /** Last event before the moment, or null if none is loaded. */
  cursor: Cursor | null;
  /** Undefined until the first answer. */
  state: S | undefined;
  exact: boolean;
  /** Unix milliseconds of the state if it is not exact. */
  at: number | null;
  /** Loaded events up to the moment, and after it, in log order. */
  past: readonly Message[];
  next: readonly Message[];
  /** True if there is an event to step to, as far as it is known. */
  hasEarlier: boolean;
  hasLater: boolean;
  /** True while the state of the moment is fetched. The former one is shown. */
  loading: boolean;
  error: unknown;
}

export interface ReplayOptions<S> {
  client: Pick<RoomwatchClient, 'events'>;
  /** Events to step through. */
  filter?: Pick<EventsFilter, 'room' | 'project'>;
  /** Fetches the state of a moment: of a time in unix milliseconds, or after the event of a cursor. */
  load: (at: number | Cursor, signal: AbortSignal) => Promise<Then<S>>;
  /** Applies events to a state. {@link UNKNOWN}: they do not fit, and the state is fetched. */
  apply: (state: S, events: readonly Message[]) => S | typeof UNKNOWN;
  /** Called with the events of each page, in log order. */
  onPage?: (events: readonly Message[]) => void;
}

/**
 * The log at one moment, which moves: to a time, to an event, or one event forwards and backwards. Near the moment, the
 * state is computed from loaded events as for the live stream, so a step needs no request.
 */
export class Replay<S> {
  private view: ReplayState<S> = {
    moment: 0,
    cursor: null,
    state: undefined,
    exact: true,
    at: null,
    past: [],
    next: [],
    hasEarlier: false,
    hasLater: false,
    loading: true,
    error: null,
  };
  private readonly listeners = new Set<() => void>();
  private events: Message[] = [];
  /** Number of loaded events before the moment. */
  private index = 0;
  /** A fetched state, and the number of loaded events in it. */
  private base: Then<S> | null = null;
  private baseIndex = 0;
  /** Positions of the next older and the next newer page; null where nothing is known to follow. */
  private before: Cursor | null = null;
  private after: Cursor | null = null;
  /** Every event from the oldest loaded one up to this time is loaded. `null` if there may be more. */
  private quietUntil: number | null = null;
  /** The requests that are under way: of the next page at each end, and of a state. */
  private readonly extending = new Map<'older' | 'newer', Promise<boolean>>();
  private fetching = false;
  private abort = new AbortController();

  constructor(private readonly options: ReplayOptions<S>) {}

  readonly getState = (): ReplayState<S> => this.view;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  };

  /** Ends all requests. */
  stop(): void {
    this.abort.abort();
  }

  /** Moves to a time or to an event, without a request if the events around it are loaded. */
  readonly seek = (at: number | Cursor): void => {
    const index = this.indexOf(at);
    if (index === null) void this.reload(at);
    else this.move(index, typeof at === 'number' ? at : undefined);
  };

  /** Moves on to a later time, and not beyond what is loaded: the next events are being fetched. */
  readonly advance = (to: number): void => {
    const last = this.events.at(-1);
    this.seek(last && this.quietUntil === null ? Math.min(to, Math.max(last.timestamp, this.view.moment)) : to);
  };

  /** Moves by one event. */
  readonly step = (by: 1 | -1): void => {
    const index = this.index + by;
    const event = this.events[by > 0 ? this.index : this.index - 1];
    if (!event) {
      void this.extend(by > 0 ? 'newer' : 'older').then((more) => more && this.step(by));
      return;
    }
    // Before the first loaded event, the moment is just before that event.
    this.move(index, this.events[index - 1]?.timestamp ?? event.timestamp - 1);
  };

  private indexOf(at: number | Cursor): number | null {
    const [first, last] = [this.events[0], this.events.at(-1)];
    if (typeof at === 'string') {
      const found = this.events.findIndex(({ cursor }) => cursor === at);
      return found < 0 ? null : found + 1;
    }
    if (!this.base?.exact) return null;
    if (!first || !last) return this.before === null && at <= (this.quietUntil ?? 0) ? 0 : null;
    if (at < first.timestamp || (at > last.timestamp && at > (this.quietUntil ?? 0))) return null;
    // The times of the log ascend.
    let [low, high] = [0, this.events.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.events[middle]?.timestamp ?? 0) <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private move(index: number, moment?: number): void {
    this.index = index;
    this.view = { ...this.view, moment: moment ?? this.events[index - 1]?.timestamp ?? this.view.moment };
    this.draw();
    if (index < AHEAD) void this.extend('older');
    if (this.events.length - index < AHEAD) void this.extend('newer');
  }

  /** Shows the state of the moment, from the loaded events or from the server. */
  private draw(): void {
    const { base, baseIndex, index, events } = this;
    const state = base && index >= baseIndex ? this.options.apply(base.state, events.slice(baseIndex, index)) : UNKNOWN;
    if (state === UNKNOWN) {
      void this.fetchBase(index);
      this.show({ loading: true });
    } else this.show({ state, exact: base?.exact ?? true, at: base?.at ?? null, loading: false, error: null });
  }

  private show(more: Partial<ReplayState<S>>): void {
    const { events, index } = this;
    this.view = {
      ...this.view,
      cursor: events[index - 1]?.cursor ?? this.base?.cursor ?? null,
      past: events.slice(0, index),
      next: events.slice(index),
      hasEarlier: index > 0 || this.before !== null,
      hasLater: index < events.length || this.quietUntil === null,
      ...more,
    };
    for (const listener of this.listeners) listener();
  }

  /** Fetches everything anew around a moment. */
  private async reload(at: number | Cursor): Promise<void> {
    this.abort.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    this.extending.clear();
    this.fetching = false;
    this.view = { ...this.view, moment: typeof at === 'number' ? at : this.view.moment, loading: true };
    for (const listener of this.listeners) listener();
    try {
      const then = await this.options.load(at, signal);
      if (signal.aborted) return;
      this.events = [];
      this.base = then;
      this.index = this.baseIndex = 0;
      // The log no longer has the events around a state that is not exact: there is nothing to step through.
      this.before = then.exact ? then.cursor : null;
      this.after = then.exact ? cursorBefore(then.cursor) : null;
      this.quietUntil = then.exact ? null : Date.now();
      if (typeof at === 'string') this.view = { ...this.view, moment: then.at ?? this.view.moment };
      // The state is shown at once. The events are for the list and the steps.
      this.draw();
      await this.extend('newer', then.cursor);
      await this.extend('older');
    } catch (error) {
      if (signal.aborted) return;
      [this.events, this.base, this.index, this.baseIndex] = [[], null, 0, 0];
      [this.before, this.quietUntil] = [null, Date.now()];
      this.show({ state: undefined, loading: false, error });
    }
  }

  /**
   * Loads the next page at one end, or waits for the one that is being loaded. Returns true if it had events. `within` is
   * the last event of the base.
   */
  private extend(end: 'older' | 'newer', within?: Cursor): Promise<boolean> {
    const where = end === 'older' ? this.before : this.after;
    if (where === null) return Promise.resolve(false);
    const page = this.extending.get(end) ?? this.load(end, where, within);
    this.extending.set(end, page);
    return page;
  }

  private async load(end: 'older' | 'newer', where: Cursor, within?: Cursor): Promise<boolean> {
    const { signal } = this.abort;
    try {
      const place = end === 'older' ? { before: where } : { after: where };
      const asked = Date.now();
      const page = await this.options.client.events({ ...this.options.filter, limit: PAGE, ...place }, signal);
      if (signal.aborted) return false;
      this.options.onPage?.(page.events);
      const { length } = page.events;
      if (end === 'older') {
        this.before = page.prev;
        this.events = [...page.events, ...this.events];
        this.index += length;
        this.baseIndex += length;
        this.trimNewer();
        if (length > 0) void this.fetchBase(0);
      } else {
        this.after = page.next ?? page.cursor;
        this.quietUntil = page.next === null ? asked : null;
        this.events = [...this.events, ...page.events];
        if (within !== undefined) {
          const known = page.events.filter(({ cursor }) => (compareCursors(cursor, within) ?? 1) <= 0).length;
          this.index += known;
          this.baseIndex += known;
        }
        this.trimOlder();
      }
      this.show({});
      return length > 0;
    } catch (error) {
      if (!signal.aborted) this.show({ error });
      return false;
    } finally {
      if (!signal.aborted) this.extending.delete(end);
    }
  }

  private trimNewer(): void {
    if (this.events.length <= EVENTS_MAX) return;
    this.events = this.events.slice(0, Math.max(EVENTS_MAX, this.index + AHEAD));
    this.after = this.events.at(-1)?.cursor ?? null;
    this.quietUntil = null;
    if (this.baseIndex > this.events.length) this.base = null;
  }

  private trimOlder(): void {
    const drop = Math.min(this.events.length - EVENTS_MAX, this.index - 2 * AHEAD);
    const { base } = this;
    if (drop <= 0 || !base) return;
    if (this.baseIndex < drop) {
      const state = this.options.apply(base.state, this.events.slice(this.baseIndex, drop));
      if (state === UNKNOWN) return;
      this.base = { ...base, state, cursor: this.events[drop - 1]?.cursor ?? base.cursor };
      this.baseIndex = drop;
    }
    this.events = this.events.slice(drop);
    this.index -= drop;
    this.baseIndex -= drop;
    this.before = this.events[0]?.cursor ?? null;
  }

  /** Fetches the state after the first `index` loaded events, as the state to begin with. */
  private async fetchBase(index: number): Promise<void> {
    const event = this.events[index - 1];
    const first = this.events[0];
    const cursor = event?.cursor ?? (first && cursorBefore(first.cursor));
    const isAhead = index === 0 && this.index > 0;
    if (cursor === undefined || (isAhead && this.fetching)) return;
    const { signal } = this.abort;
    this.fetching = true;
    try {
      const then = await this.options.load(cursor, signal);
      if (signal.aborted) return;
      const at = event ? this.events.indexOf(event) + 1 : this.events.indexOf(first as Message);
      if (at < 0 || (isAhead && !then.exact)) return;
      if (!then.exact) return void this.reload(cursor);
      [this.base, this.baseIndex] = [then, at];
      if (!isAhead) this.draw();
    } catch (error) {
      if (!signal.aborted && !isAhead) this.show({ loading: false, error });
    } finally {
      if (!signal.aborted) this.fetching = false;
    }
  }
}
