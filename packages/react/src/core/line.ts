import type { RoomwatchClient } from './client';
import { RoomwatchError } from './error';
import type { Bye, Connected, ConnectionEvent, Cursor } from './wire';

/** The server pings every 20 s: after two that did not come the line is dead, whatever the browser thinks. */
const SILENCE_MS_MAX = 45_000;
const CHECK_MS = 5_000;
const BACKOFF_MS_MIN = 1_000;
const BACKOFF_MS_MAX = 30_000;
/** After a break longer than this it is worth a request to learn how far behind we are. */
export const BREAK_MS = 3_000;

export type Phase = 'opening' | 'open' | 'down' | 'signed_out' | 'too_many';

export interface LineState {
  phase: Phase;
  /** Unix milliseconds since when there has been no stream; null while open. */
  downSince: number | null;
  /** While catching up after a break: the newest event there is. */
  head: Cursor | null;
  streams: { open: number; max: number } | null;
}

/** `connected` is the server's own word: a LiveKit event of that name comes as `livekit.connected`. */
export function isConnected(event: ConnectionEvent): event is Connected {
  return event.type === 'connected';
}

export type FrameKind = 'message' | 'ping';

export interface LineOptions {
  client: RoomwatchClient;
  rooms?: string[];
  EventSource: typeof EventSource;
  /** Where to go on. Asked at each opening. */
  cursor: () => Cursor | null;
  /** Unix milliseconds of when an earlier line was let go, if this one goes on for it. */
  brokenAt: number | null;
  /** A frame as it came: JSON on one line. */
  onFrame: (kind: FrameKind, text: string) => void;
  onState: (state: LineState) => void;
}

export interface Line {
  /** Looks now instead of at the next tick: after sleep, when the tab or the network is back. */
  check(): void;
  /** Gives up waiting and tries again now. */
  retry(): void;
  close(): void;
}

/**
 * One EventSource, kept open. The browser reconnects it by itself with its last id, and `onerror` leaves it alone;
 * only a source in state CLOSED is opened again by us, after `GET /api/me` has said why, because an EventSource
 * does not tell a 401 from a 429.
 */
export function openLine(options: LineOptions): Line {
  const { client, onState } = options;
  let state: LineState = { phase: 'opening', downSince: Date.now(), head: null, streams: null };
  let source: EventSource | null = null;
  /** Since when events may have been missed, for the question how far behind we are. */
  let brokenAt: number | null = options.brokenAt ?? Date.now();
  /** Rises with each attempt, so that an answer to an older one is dropped. */
  let run = 0;
  let attempts = 0;
  let heardAt = Date.now();
  let timer: ReturnType<typeof setTimeout> | undefined;

  const set = (phase: Phase, more: Partial<LineState> = {}) => {
    const downSince = phase === 'open' ? null : (state.downSince ?? Date.now());
    if (phase !== 'open') brokenAt ??= Date.now();
    state = { phase, downSince, head: null, streams: null, ...more };
    onState(state);
  };

  const drop = () => {
    run++;
    clearTimeout(timer);
    source?.close();
    source = null;
  };

  const later = (atLeast = BACKOFF_MS_MIN) => {
    const backoff = Math.min(BACKOFF_MS_MAX, Math.max(atLeast, BACKOFF_MS_MIN * 2 ** attempts++));
    clearTimeout(timer);
    timer = setTimeout(open, backoff * (0.5 + Math.random() / 2));
  };

  const open = async () => {
    drop();
    const current = run;
    heardAt = Date.now();
    let token: string | null;
    try {
      token = await client.token();
    } catch {
      if (current === run) later();
      return;
    }
    if (current !== run) return;
    const query = { project: client.project, room: options.rooms, after: options.cursor(), access_token: token };
    const opened = new options.EventSource(client.url('/api/events', query), { withCredentials: !token });
    source = opened;
    opened.onmessage = ({ data }) => {
      heardAt = Date.now();
      if (state.phase !== 'open') connected(JSON.parse(data));
      options.onFrame('message', data);
    };
    opened.addEventListener('ping', ({ data }) => {
      heardAt = Date.now();
      options.onFrame('ping', data);
    });
    opened.addEventListener('bye', ({ data }) => {
      // `drain` and `capacity` pass: the browser comes back after the `retry` it was given. Rights that have ended do not.
      if ((JSON.parse(data) as Bye).reason === 'expired') void ask();
    });
    opened.onerror = () => {
      if (opened !== source) return;
      if (opened.readyState === options.EventSource.CLOSED) void ask();
      else set('down');
    };
  };

  const connected = (first: ConnectionEvent) => {
    attempts = 0;
    const broken = brokenAt !== null && Date.now() - brokenAt > BREAK_MS;
    brokenAt = null;
    set('open');
    if (!broken || !isConnected(first) || !first.resumed) return;
    const current = run;
    client.events({ limit: 1, room: options.rooms }).then(
      ({ events }) => {
        if (current === run && state.phase === 'open' && events[0]) set('open', { head: events[0].cursor });
      },
      () => {}, // Nobody is told how far behind we are; the events come all the same.
    );
  };

  /** Why was the stream refused? */
  const ask = async () => {
    drop();
    const current = run;
    if (state.phase === 'open') set('down');
    try {
      const { streams } = await client.me();
      if (current !== run) return;
      if (streams.max > 0 && streams.open >= streams.max) {
        set('too_many', { streams });
        later(10_000);
      } else {
        set('down');
        later();
      }
    } catch (error) {
      if (current !== run) return;
      if (error instanceof RoomwatchError && error.status === 401) return set('signed_out');
      set('down');
      later();
    }
  };

  const check = () => {
    if (state.phase === 'signed_out') return;
    if (source && Date.now() - heardAt > SILENCE_MS_MAX) {
      set('down');
      void open();
    }
  };

  const ticking = setInterval(check, CHECK_MS);
  onState(state);
  void open();

  return {
    check() {
      // Somebody may have signed in, in another tab.
      if (state.phase === 'signed_out') void ask();
      else if (!source && state.phase !== 'open') void open();
      else check();
    },
    retry() {
      attempts = 0;
      if (state.phase !== 'open') {
        set('opening', { downSince: Date.now() });
        void open();
      }
    },
    close() {
      drop();
      clearInterval(ticking);
    },
  };
}
