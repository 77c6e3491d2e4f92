import { useSyncExternalStore } from 'react';
import type { ConnectionState } from '../core/connection';
import { useRoomwatch } from '../RoomwatchProvider';

/**
 * What a connection pill shows, and `retry`, the way out of `signed_out` and `too_many`. Renders at most four times a
 * second, however busy the stream is.
 *
 * @example
 * const { status, behind, retry } = useConnection();
 * if (status === 'too_many') return <button onClick={retry}>Try again</button>;
 * return <span>{status === 'catching_up' ? `catching up ${behind}` : status}</span>;
 */
export function useConnection(): ConnectionState & { retry: () => void } {
  const { connection } = useRoomwatch();
  const state = useSyncExternalStore(connection.onState, connection.getState, connection.getState);
  return { ...state, retry: connection.retry };
}
