import { isConnected, type Message, useMe, useRoomwatch } from '@roomwatch/react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect } from 'react';
import { ACTIONS, doerIn } from './doers';

/** Newest commands that are looked at. */
const ENTRIES = 200;
/** Minimum time between two fetches: participants mute themselves all the time. */
const REFRESH_MS = 3_000;
const KEY = ['audit', 'recent'];

/**
 * Returns a function that names the user who caused an event. LiveKit's events do not say it. Only admins may read the
 * audit record: for others it is always null.
 */
export function useDoers(): (message: Message) => string | null {
  const { client, connection } = useRoomwatch();
  const queryClient = useQueryClient();
  const isAdmin = useMe().data?.role === 'admin';
  const { data } = useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => client.audit({ limit: ENTRIES }, signal),
    enabled: isAdmin,
  });
  useEffect(() => {
    if (!isAdmin) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = connection.onEvent((event) => {
      if (isConnected(event) || !ACTIONS[event.type]) return;
      const at = queryClient.getQueryState(KEY)?.dataUpdatedAt ?? 0;
      timer ??= setTimeout(
        () => {
          timer = undefined;
          void queryClient.invalidateQueries({ queryKey: KEY });
        },
        Math.max(0, at + REFRESH_MS - Date.now()),
      );
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [isAdmin, connection, queryClient]);
  return useCallback((message) => (data ? doerIn(data.entries, message) : null), [data]);
}
