import { useSyncExternalStore } from 'react';
import type { ConnectionState } from '../core/connection';
import { useRoomwatch } from '../RoomwatchProvider';

/** What the connection pill shows, and `retry()`, the way out of `signed_out` and `too_many`. */
export function useConnection(): ConnectionState & { retry: () => void } {
  const { connection } = useRoomwatch();
  const state = useSyncExternalStore(connection.onState, connection.getState, connection.getState);
  return { ...state, retry: () => connection.retry() };
}
