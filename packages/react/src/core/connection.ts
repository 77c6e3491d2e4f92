import type { RoomwatchClient } from './client';
import { distance, isAfter } from './cursor';
import type { RoomwatchError } from './error';
import { BREAK_MS, type FrameKind, type Line, type LineState, openLine } from './line';
import { joinTabs, type Tabs } from './tabs';
import type { Connected, ConnectionEvent, Cursor } from './wire';

/** Listeners of the state hear of a moved cursor at most this often; of a changed status at once. */
const NOTIFY_MS = 250;

/**
 * `connecting`: at first, and for the first seconds of a break. `live`: every event as it comes.
 * `catching_up`: connected again, `behind` events to go. `polling`: the stream is down, snapshots still come.
 * `stale`: nothing comes; the last truth is from `staleSince`. `signed_out`: the server wants a sign-in.
 * `too_many`: this user has `streams.max` connections open elsewhere.
 */
export type ConnectionStatus = 'connecting' | 'live' | 'catching_up' | 'polling' | 'stale' | 'signed_out' | 'too_many';

export interface ConnectionState {
  status: ConnectionStatus;
  /** Position of the last event seen, or scanned and filtered out. */
  cursor: Cursor | null;
  /** Events still to come while catching up, else 0. An upper bound where a filter is set. */
  behind: number;
  /** Unix milliseconds of the last known truth, null while live. */
  staleSince: number | null;
  /** For `too_many`: how many connections this user has open, and may have. */
  streams: { open: number; max: number } | null;
}

export interface Connection {
  /** The same object until something changed. */
  getState(): ConnectionState;
  /** Called after each change of state. Returns how to stop. */
  onState(listener: () => void): () => void;
  /** Called for each event, once, in log order, and for each `connected`. Returns how to stop. */
  onEvent(listener: (event: ConnectionEvent) => void): () => void;
  /** Opens the stream, or shares another tab's. */
  start(): void;
  /** Lets go of everything; `start` goes on from the last cursor. */
  stop(): void;
  /** The way out of `signed_out` and `too_many`: tries again now. */
  retry(): void;
  /** How a request of ours ended; tells "polling" from "stale". To be passed as the client's `onSettled`. */
  settled(error: RoomwatchError | null): void;
}

export interface ConnectionOptions {
  client: RoomwatchClient;
  /** Rooms to hear of; all that the caller may see when absent. */
  rooms?: string[];
  /** Default: the platform's. Node before 24 has none. */
  EventSource?: typeof EventSource;
}

/** What the leading tab tells the others. `prev` is where it stood before the frame, so that a hole is noticed. */
type TabMessage =
  | { frame: [FrameKind, string]; prev: Cursor | null }
  | { line: LineState; cursor: Cursor | null }
  | { retry: true };

const idle: LineState = { phase: 'opening', downSince: null, head: null, streams: null };

/** The stream of one scope, shared by all tabs of the browser that have the same one. */
export function createConnection(options: ConnectionOptions): Connection {
  const { client } = options;
  const stateListeners = new Set<() => void>();
  const eventListeners = new Set<(event: ConnectionEvent) => void>();
  let state: ConnectionState = { status: 'connecting', cursor: null, behind: 0, staleSince: null, streams: null };
  let cursor: Cursor | null = null;
  let lineState = idle;
  let line: Line | null = null;
  let tabs: Tabs<TabMessage> | null = null;
  let run = 0;
  /** When this tab let go of its line, to be told how far behind it is when it is back. */
  let brokenAt: number | null = null;
  let truthAt = Date.now();
  let reachable = true;
  let notifying: ReturnType<typeof setTimeout> | undefined;
  let judging: ReturnType<typeof setTimeout> | undefined;

  /** What the pill says, from what the line, the clock and the last request say. */
  const update = () => {
    clearTimeout(notifying);
    notifying = undefined;
    const { phase, downSince, head, streams } = lineState;
    const behind = head && cursor ? distance(head, cursor) : 0;
    let status: ConnectionStatus;
    if (phase === 'signed_out' || phase === 'too_many') status = phase;
    else if (phase === 'open') status = behind > 0 ? 'catching_up' : 'live';
    else if (Date.now() - (downSince ?? Date.now()) < BREAK_MS) status = 'connecting';
    else status = reachable ? 'polling' : 'stale';
    const staleSince = phase === 'open' ? null : truthAt;
    const next: ConnectionState = { status, cursor, behind, staleSince, streams };
    if ((Object.keys(next) as (keyof ConnectionState)[]).every((key) => next[key] === state[key])) return;
    state = next;
    for (const listener of stateListeners) listener();
  };

  const setLine = (next: LineState) => {
    lineState = next;
    tabs?.post({ line: next, cursor });
    update();
    clearTimeout(judging);
    if (next.downSince !== null) {
      judging = setTimeout(update, Math.max(0, next.downSince + BREAK_MS - Date.now()) + 1);
    }
  };

  const emit = (event: ConnectionEvent) => {
    for (const listener of eventListeners) listener(event);
  };

  const deliver = (kind: FrameKind, text: string) => {
    const frame = JSON.parse(text);
    truthAt = Date.now();
    const first = kind === 'message' && frame.type === 'connected';
    // After a hand-over between tabs two lines may bring the same event: the second is a twin.
    if (!first && cursor !== null && !isAfter(frame.cursor, cursor)) return;
    cursor = frame.cursor;
    if (kind === 'message') emit(frame);
    notifying ??= setTimeout(update, NOTIFY_MS);
  };

  const lead = () => {
    line?.close();
    line = openLine({
      client,
      rooms: options.rooms,
      EventSource: options.EventSource ?? EventSource,
      cursor: () => cursor,
      brokenAt,
      onFrame(kind, text) {
        tabs?.post({ frame: [kind, text], prev: cursor });
        deliver(kind, text);
      },
      onState: setLine,
    });
  };

  const letGo = () => {
    if (!line) return;
    line.close();
    line = null;
    brokenAt = Date.now();
    lineState = { ...idle, downSince: brokenAt };
    update();
  };

  /** The leader stands elsewhere than we do: what lies between never reached this tab. */
  const adopt = (at: Cursor) => {
    const missed: Connected = { type: 'connected', cursor: at, resumed: false };
    if (cursor !== null) missed.reset = 'missed';
    cursor = at;
    emit(missed);
  };

  const onTab = (message: TabMessage) => {
    if ('retry' in message) line?.retry();
    else if (line) return;
    else if ('frame' in message) {
      const { frame, prev } = message;
      if (prev !== null && prev !== cursor && (cursor === null || isAfter(prev, cursor))) adopt(prev);
      deliver(...frame);
      if (lineState.head) update();
    } else {
      const at = message.cursor;
      if (at !== null && at !== cursor && (cursor === null || isAfter(at, cursor))) adopt(at);
      lineState = message.line;
      truthAt = lineState.phase === 'open' ? Date.now() : truthAt;
      update();
    }
  };

  const onVisible = () => {
    if (tabs) {
      if (document.visibilityState === 'visible') line?.check();
    } else if (document.visibilityState === 'visible') {
      if (line) line.check();
      else lead();
    } else {
      // Without Web Locks every tab has its own stream, and a browser has six connections to a host.
      letGo();
    }
  };
  const onOnline = () => line?.check();
  const onPageHide = () => pause();
  const onPageShow = (event: PageTransitionEvent) => {
    if (event.persisted) void join();
  };

  const join = async () => {
    const current = ++run;
    lineState = { ...idle, downSince: Date.now() };
    const name = `roomwatch:${await scope(options)}`;
    if (current !== run) return;
    tabs = joinTabs<TabMessage>(name, {
      onLead: lead,
      onFollow: letGo,
      onMessage: onTab,
      onTick: () => tabs?.post({ line: lineState, cursor }),
    });
    if (!tabs && (typeof document === 'undefined' || document.visibilityState === 'visible')) lead();
    judging = setTimeout(update, BREAK_MS + 1);
  };

  const pause = () => {
    run++;
    clearTimeout(judging);
    clearTimeout(notifying);
    notifying = undefined;
    letGo();
    tabs?.close();
    tabs = null;
  };

  const listen = (change: 'addEventListener' | 'removeEventListener') => {
    if (typeof document === 'undefined') return;
    document[change]('visibilitychange', onVisible);
    window[change]('online', onOnline);
    window[change]('pagehide', onPageHide);
    window[change]('pageshow', onPageShow as EventListener);
  };

  return {
    getState: () => state,
    onState(listener) {
      stateListeners.add(listener);
      return () => stateListeners.delete(listener);
    },
    onEvent(listener) {
      eventListeners.add(listener);
      return () => eventListeners.delete(listener);
    },
    start() {
      listen('addEventListener');
      void join();
    },
    stop() {
      listen('removeEventListener');
      pause();
    },
    retry() {
      if (line) line.retry();
      else tabs?.post({ retry: true });
    },
    settled(error) {
      const ok = error === null || (error.status > 0 && error.status < 500 && error.code !== 'unexpected_answer');
      reachable = ok;
      if (lineState.phase === 'open') return;
      if (ok) truthAt = Date.now();
      update();
    },
  };
}

/**
 * Tabs share a stream only if they would see the same. For a token that is: the same claims, but for its dates, so
 * that a refreshed token stays with its stream.
 */
async function scope({ client, rooms }: ConnectionOptions): Promise<string> {
  let claims: unknown = null;
  try {
    const token = await client.token();
    if (token) {
      const payload = (token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/');
      claims = { ...JSON.parse(atob(payload)), exp: 0, nbf: 0, iat: 0, jti: 0 };
    }
  } catch {
    claims = Math.random(); // Nobody knows whose it is: shared with nobody.
  }
  return JSON.stringify([client.base, client.project, rooms, claims]);
}
