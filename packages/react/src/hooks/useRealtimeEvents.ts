import { useEffect, useRef } from 'react';
import type { ConnectionStatus } from '../core/connection';
import type { Cursor, Message, ResetReason } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import { useConnection } from './useConnection';

export interface RealtimeEventsOptions {
  /** Each event once, in log order. */
  onEvent?: (message: Message) => void;
  /** A cursor could not be honoured: events between were missed, fetch your snapshots again. */
  onReset?: (reason: ResetReason) => void;
  /** `write` (default): the hooks' cache follows the events. `invalidate`: an app's own queries are invalidated by event type. */
  mode?: 'write' | 'invalidate';
  /** Only these rooms, event types (`*` stands for any run) and projects reach `onEvent`. */
  room?: string | string[];
  type?: string | string[];
  project?: string | string[];
  /** With `mode: 'invalidate'`: stands before the keys that are invalidated. */
  keyPrefix?: readonly unknown[];
}

export interface RealtimeEvents {
  isConnected: boolean;
  status: ConnectionStatus;
  cursor: Cursor | null;
  staleSince: number | null;
}

/**
 * Listens to the provider's stream.
 *
 * @example
 * useRealtimeEvents({ type: 'participant_*', onEvent: (e) => toast(`${e.data.participant?.identity} ${e.type}`) });
 */
export function useRealtimeEvents(options: RealtimeEventsOptions = {}): RealtimeEvents {
  const { connection } = useRoomwatch();
  const { status, cursor, staleSince } = useConnection();
  const latest = useRef(options);
  latest.current = options;
  useEffect(
    () =>
      connection.onEvent((event) => {
        if (event.type !== 'connected') latest.current.onEvent?.(event as Message);
      }),
    [connection],
  );
  return { isConnected: status === 'live' || status === 'catching_up', status, cursor, staleSince };
}
