import type { Socket } from 'socket.io-client';
import type { TokenSource } from './client';
import { isAfter } from './cursor';
import { RoomwatchError } from './error';
import type { EventsFilter } from './filter';
import type { ConnectionState } from './status';
import type { Bye, Connected, Cursor, Message, Ping, ResetReason } from './wire';

const BACKOFF_MS_MIN = 1_000;
const BACKOFF_MS_MAX = 30_000;

export interface SocketOptions extends EventsFilter {
  /** Address of Roomwatch. Default: this origin. */
  url?: string;
  /** Asked for at each connection. Without it the operator's cookie is used. */
  token?: TokenSource;
  /** Cursor after which the stream starts; `start` is the oldest event. Default: new events only. */
  after?: Cursor | 'start';
  /** Called for each event, once, in log order, also over reconnects and restarts of the server. */
  onEvent?: (message: Message) => void;
  /** Called if the stream did not resume: events are missing. */
  onReset?: (reason: ResetReason) => void;
  /** Transports of Socket.IO. Default: polling first, then an upgrade. */
  transports?: ('polling' | 'websocket')[];
}

export interface SocketState extends Pick<ConnectionState, 'cursor' | 'staleSince'> {
  status: 'connecting' | 'live' | 'stale' | 'signed_out';
  /** Reason why the last attempt was refused. */
  error: RoomwatchError | null;
}

export interface EventSocket {
  getState(): SocketState;
  onState(listener: () => void): () => void;
  /** Tries again after `signed_out`. */
  retry(): void;
  close(): void;
}

/**
 * Opens the stream over Socket.IO. The client sends its last cursor at each connection, so that missed events are
 * replayed first: the recovery of Socket.IO does not survive a restart of the server. `socket.io-client` is loaded on
 * the call.
 *
 * @example
 * const socket = connectSocket({ url: 'https://watch.example.com', token, onEvent: console.log });
 */
export function connectSocket(options: SocketOptions): EventSocket {
  const listeners = new Set<() => void>();
  let state: SocketState = { status: 'connecting', cursor: null, staleSince: Date.now(), error: null };
  let cursor: Cursor | null = null;
  let socket: Socket | null = null;
  let closed = false;
  let attempts = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let notifying: ReturnType<typeof setTimeout> | undefined;

  const set = (next: Partial<SocketState>) => {
    clearTimeout(notifying);
    notifying = undefined;
    state = { ...state, cursor, ...next };
    for (const listener of listeners) listener();
  };
  const lost = (next: Partial<SocketState>) => set({ staleSince: state.staleSince ?? Date.now(), ...next });

  const later = () => {
    const backoff = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** attempts++);
    clearTimeout(timer);
    timer = setTimeout(() => socket?.connect(), backoff * (0.5 + Math.random() / 2));
  };

  const open = async () => {
    try {
      const { io } = await import('socket.io-client');
      if (closed) return;
      const { origin, path } = locate(options.url);
      socket = io(origin, {
        path,
        transports: options.transports,
        withCredentials: options.token === undefined,
        auth: (answer) => void auth().then(answer, () => answer({})),
      });
    } catch (error) {
      if (!closed) lost({ status: 'stale', error: toError(error) });
      return;
    }

    socket.on('connected', (first: Connected) => {
      attempts = 0;
      cursor = first.cursor;
      set({ status: 'live', staleSince: null, error: null });
      if (first.reset) options.onReset?.(first.reset);
    });
    socket.on('room:event', (message: Message) => {
      if (cursor !== null && !isAfter(message.cursor, cursor)) return;
      cursor = message.cursor;
      options.onEvent?.(message);
      notifying ??= setTimeout(() => set({}), 250);
    });
    socket.on('ping', (ping: Ping) => {
      if (cursor === null || isAfter(ping.cursor, cursor)) cursor = ping.cursor;
      notifying ??= setTimeout(() => set({}), 250);
    });
    socket.on('bye', ({ reason }: Bye) => {
      if (reason === 'expired')
        lost({ status: 'connecting', error: new RoomwatchError('expired', 0, 'The access has expired.') });
    });
    socket.on('expiring', () => {
      // Nothing is lost: the next handshake has the cursor, and a new token.
      if (typeof options.token === 'function') socket?.disconnect().connect();
    });
    socket.on('disconnect', (reason) => {
      lost({ status: 'connecting' });
      // Socket.IO does not reconnect by itself if the server closed the connection.
      if (reason === 'io server disconnect') later();
    });
    socket.on('connect_error', (cause) => {
      const error = toError(cause);
      // After a refusal Socket.IO gives up. If the server is not reachable, it tries again by itself.
      if (error.status === 401) return lost({ status: 'signed_out', error });
      lost({ status: 'stale', error });
      if (!socket?.active) later();
    });
  };

  const auth = async () => {
    const { token, room, type, participant, project } = options;
    const given = {
      token: typeof token === 'function' ? await token() : token,
      after: cursor ?? options.after,
      room,
      type,
      participant,
      project,
    };
    return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  };

  void open();

  return {
    getState: () => state,
    onState(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    retry() {
      clearTimeout(timer);
      attempts = 0;
      if (socket && !socket.connected) socket.disconnect().connect();
    },
    close() {
      closed = true;
      clearTimeout(timer);
      clearTimeout(notifying);
      listeners.clear();
      socket?.disconnect();
    },
  };
}

/**
 * Returns the host and the path, which Socket.IO takes separately. A prefix of `/api` is a prefix of `/socket.io/` too.
 */
function locate(url = ''): { origin: string; path: string } {
  const base = url.replace(/\/+$/, '');
  const absolute = /^https?:\/\//.test(base);
  const { origin, pathname } = new URL(absolute ? base : `http://here${base.startsWith('/') ? base : `/${base}`}`);
  return { origin: absolute ? origin : location.origin, path: `${pathname.replace(/\/$/, '')}/socket.io/` };
}

/** Codes that have status 401 over HTTP. */
const SIGNED_OUT = ['unauthorized', 'session_ended'];

/** Returns the error of a refusal, which is `code: message`. Other failures (transport, proxy) have any message. */
function toError(cause: unknown): RoomwatchError {
  const { message = '' } = (cause ?? {}) as { message?: string };
  const [, code, words] = /^([a-z_]+): (.*)$/s.exec(message) ?? [];
  if (!code) return new RoomwatchError('network', 0, message || 'Cannot reach Roomwatch.');
  return new RoomwatchError(code, SIGNED_OUT.includes(code) ? 401 : 0, words ?? '');
}
