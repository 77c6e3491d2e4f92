import { isConnected, type Person, type RoomwatchError, useConnection, useRoomwatch } from '@roomwatch/react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';

/** Minimum time between two fetches: a participant may have many events. */
const REFRESH_MS = 1_000;
/** Time between two fetches while the stream is down. */
const POLL_MS = 10_000;

/** Returns a participant over all sessions. It is fetched again after an event of the participant. */
export function useParticipant(identity: string, project: string | undefined) {
  const { client, connection } = useRoomwatch();
  const queryClient = useQueryClient();
  const live = useConnection().status === 'live';
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let at = 0;
    const refresh = () => {
      timer = undefined;
      at = Date.now();
      void queryClient.invalidateQueries({ queryKey: ['participant', project, identity] });
    };
    const stop = connection.onEvent((event) => {
      // After a reset, events may be missing. A room that ends also ends the stays in it.
      const concerns = isConnected(event)
        ? !event.resumed
        : event.type === 'room_finished' ||
          (event.type.startsWith('participant_') && event.data.participant?.identity === identity);
      if (concerns) timer ??= setTimeout(refresh, Math.max(0, at + REFRESH_MS - Date.now()));
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [connection, queryClient, identity, project]);
  return useQuery<Person, RoomwatchError>({
    queryKey: ['participant', project, identity],
    queryFn: ({ signal }) => client.participant(identity, { project }, signal),
    refetchInterval: live ? false : POLL_MS,
    retry: (failures, error) => failures < 2 && (error.status === 0 || error.status >= 500),
  });
}
