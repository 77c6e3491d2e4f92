import type { RoomwatchClient } from './client';
import { RoomwatchError } from './error';
import type { Bye, Connected, ConnectionEvent, Cursor } from './wire';

/** The server pings every 20 s. After two missing pings the line is dead, even if the browser reports it as open. */
const SILENCE_MS_MAX = 45_000;
const CHECK_MS = 5_000;
const BACKOFF_MS_MIN = 1_000;
const BACKOFF_MS_MAX = 30_000;
/** After a longer break, one request asks for the number of missed events. */
export const BREAK_MS = 3_000;
/** Maximum time for the answer to `GET /api/me`. A server that is slower counts as one that does not answer. */
export const ANSWER_MS_MAX = 5_000;

export type Phase = 'opening' | 'open' | 'down' | 'signed_out' | 'too_many';

export interface LineState {
  phase: Phase;
  /** Unix milliseconds at which the stream was lost; null while open. */
  downSince: number | null;
  /** Cursor of the newest event, while catching up after a break. */
  head: Cursor | null;
  streams: { open: number; max: number } | null;
}

export const opening: LineState = { phase: 'opening', downSince: null, head: null, streams: null };

/**
 * Returns true for the first frame of a connection. A LiveKit event named `connected` arrives as `livekit.connected`.
 */
export function isConnected(event: ConnectionEvent): event is Connected {
  return event.type === 'connected';
}

export type FrameKind = 'message' | 'ping';

export interface LineOptions {
  client: RoomwatchClient;
  rooms?: string[];
  EventSource: typeof EventSource;
  /** Returns the cursor after which the stream continues. Called at each opening. */
  cursor: () => Cursor | null;
  /** Unix milliseconds at which an earlier line was closed, if this one continues it. */
  brokenAt: number | null;
  /** Called for each frame with its text: JSON on one line. */
  onFrame: (kind: FrameKind, text: string) => void;
  onState: (state: LineState) => void;
}

export interface Line {
  /** Checks the line now instead of at the next tick: after sleep, or when the tab or the network is back. */
  check(): void;
  /** Tries again now instead of after the pause. */
  retry(): void;
  close(): void;
}

/**
 * Keeps one EventSource open. The browser reconnects it with its last id, so `onerror` does nothing. Only a source in
 * state CLOSED is opened again here, after `GET /api/me` has given the reason: an EventSource does not tell a 401 from
 * a 429.
 */
export function openLine(options: LineOptions): Line {
  const { client, onState } = options;
  let state: LineState = { ...opening, downSince: Date.now() };
  let source: EventSource | null = null;
  /** Unix milliseconds from which events may be missing. */
  let brokenAt: number | null = options.brokenAt ?? Date.now();
  /** Rises with each attempt, so that the answer to an older one is dropped. */
  let run = 0;
  let attempts = 0;
  let heardAt = Date.now();
  let timer: ReturnType<typeof setTimeout> | undefined;

  const set = (phase: Phase, more: Partial<LineState> = {}) => {
    const downSince = phase === 'open' ? null : (state.downSince ?? Date.now());
    if (phase !== 'open') brokenAt ??= Date.now();
    state = { ...opening, phase, downSince, ...more };
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
      // After `drain`, `capacity` and `behind` the browser reconnects by itself. After `expired` the reason is needed.
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
      () => {}, // The number of missed events stays unknown. The events arrive anyway.
    );
  };

  /** Asks the server why it refused the stream. */
  const ask = async () => {
    drop();
    const current = run;
    if (state.phase === 'open') set('down');
    try {
      const { streams } = await client.me(AbortSignal.timeout(ANSWER_MS_MAX));
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
      // The user may have signed in, in another tab.
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
