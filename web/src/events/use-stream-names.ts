import { isConnected, useRoomwatch } from '@roomwatch/react';
import { useEffect } from 'react';
import { noteNames } from './names';

/** Remembers the names in every event of the stream, on whatever page. */
export function useStreamNames() {
  const { connection } = useRoomwatch();
  useEffect(() => connection.onEvent((event) => isConnected(event) || noteNames([event])), [connection]);
}
