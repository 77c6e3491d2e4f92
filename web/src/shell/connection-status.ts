import { type ConnectionStatus, useRoomwatch } from '@roomwatch/react';
import { useSyncExternalStore } from 'react';

/** Returns the status of the stream. */
export function useConnectionStatus(): ConnectionStatus {
  const { connection } = useRoomwatch();
  return useSyncExternalStore(connection.onState, () => connection.getState().status);
}
