import { isConnected, useRoomwatch } from '@roomwatch/react';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';

/** Minimum time between two fetches: in a large room somebody leaves all the time. */
const REFRESH_MS = 1_000;

/**
 * Fetches the sessions of a room at once after a leave or the end of the room. The stream has no sessions, so their
 * queries follow it some seconds later: until then they would say that the participant is still connected.
 */
export function useSessionRefresh(room: string, project: string | undefined) {
  const { connection, keyPrefix } = useRoomwatch();
  const queryClient = useQueryClient();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let at = 0;
    const refresh = () => {
      timer = undefined;
      at = Date.now();
      void queryClient.invalidateQueries({ queryKey: [...keyPrefix, 'sessions'] });
    };
    const stop = connection.onEvent((event) => {
      if (isConnected(event) || event.room !== room || (project !== undefined && event.project !== project)) return;
      if (event.type !== 'participant_left' && event.type !== 'room_finished') return;
      timer ??= setTimeout(refresh, Math.max(0, at + REFRESH_MS - Date.now()));
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [connection, queryClient, keyPrefix, room, project]);
}
