import { type ConnectionStatus, useRoomwatch } from '@roomwatch/react';
import { useSyncExternalStore } from 'react';

/** Returns the status of the stream. */
export function useConnectionStatus(): ConnectionStatus {
  const { connection } = useRoomwatch();
  return useSyncExternalStore(connection.onState, () => connection.getState().status);
}

/**
 * Returns the state of the connection without its cursor. It is compared as one string, so that a component does not
 * render with every event.
 */
export function useConnectionSummary() {
  const { connection } = useRoomwatch();
  const summary = useSyncExternalStore(connection.onState, () => {
    const { status, behind, staleSince, freshAt, streams } = connection.getState();
    return JSON.stringify({ status, behind, staleSince, freshAt, streams });
  });
  return JSON.parse(summary) as {
    status: ConnectionStatus;
    behind: number;
    staleSince: number | null;
    freshAt: number | null;
    streams: { open: number; max: number } | null;
  };
}
