import { useSyncExternalStore } from 'react';
import type { ConnectionState } from '../core/status';
import { useRoomwatch } from '../RoomwatchProvider';

/**
 * Returns the state of the stream, for a connection pill, and `retry`, which is needed after `signed_out` and
 * `too_many`. Renders at most four times a second.
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
