import type { RoomwatchClient } from './client';
import type { Connected, Cursor, Message } from './wire';

/**
 * `connecting`: at first, and for the first seconds of a break. `live`: every event as it comes.
 * `catching_up`: connected again, `behind` events to go. `polling`: the stream is down, snapshots still come.
 * `stale`: nothing comes; the last truth is from `staleSince`. `signed_out`: the server wants a sign-in.
 * `too_many`: this user has `streams.max` connections open elsewhere.
 */
export type ConnectionStatus = 'connecting' | 'live' | 'catching_up' | 'polling' | 'stale' | 'signed_out' | 'too_many';

export interface ConnectionState {
  status: ConnectionStatus;
  /** Position of the last event seen. */
  cursor: Cursor | null;
  /** Events still to come while catching up, else 0. */
  behind: number;
  /** Unix milliseconds of the last known truth, null while live. */
  staleSince: number | null;
  /** For `too_many`: how many connections this user has open, and may have. */
  streams: { open: number; max: number } | null;
}

export type ConnectionEvent = Message | Connected;

export interface Connection {
  /** The same object until something changed. */
  getState(): ConnectionState;
  /** Called after each change of state. Returns how to stop. */
  onState(listener: () => void): () => void;
  /** Called for each event in log order, and for each `connected`. Returns how to stop. */
  onEvent(listener: (event: ConnectionEvent) => void): () => void;
  /** Opens the stream, or shares another tab's. */
  start(): void;
  /** Lets go of everything; `start` begins again from the last cursor. */
  stop(): void;
  /** The way out of `signed_out` and `too_many`: tries again now. */
  retry(): void;
}

export interface ConnectionOptions {
  client: RoomwatchClient;
  /** Rooms to hear of; all that the caller may see when absent. */
  rooms?: string[];
}

const initial: ConnectionState = { status: 'connecting', cursor: null, behind: 0, staleSince: null, streams: null };

export function createConnection({ client, rooms }: ConnectionOptions): Connection {
  const stateListeners = new Set<() => void>();
  const eventListeners = new Set<(event: ConnectionEvent) => void>();
  let state = initial;
  let source: EventSource | null = null;
  let run = 0;

  const set = (next: Partial<ConnectionState>) => {
    state = { ...state, ...next };
    for (const listener of stateListeners) listener();
  };

  const open = async () => {
    const current = ++run;
    const access_token = await client.token();
    if (current !== run) return;
    const query = { project: client.project, room: rooms, after: state.cursor, access_token };
    source = new EventSource(client.url('/api/events', query), { withCredentials: !access_token });
    source.onmessage = ({ data }) => {
      const event = JSON.parse(data) as ConnectionEvent;
      set({ cursor: event.cursor, status: 'live', staleSince: null });
      for (const listener of eventListeners) listener(event);
    };
  };

  return {
    getState: () => state,
    onState: (listener) => {
      stateListeners.add(listener);
      return () => stateListeners.delete(listener);
    },
    onEvent: (listener) => {
      eventListeners.add(listener);
      return () => eventListeners.delete(listener);
    },
    start: () => void open(),
    stop: () => {
      run++;
      source?.close();
      source = null;
    },
    retry() {
      this.stop();
      this.start();
    },
  };
}
