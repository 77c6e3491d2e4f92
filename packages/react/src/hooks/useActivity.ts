import { type UseQueryResult, useQuery } from '@tanstack/react-query';
import type { ActivityQuery } from '../core/client';
import type { RoomwatchError } from '../core/error';
import type { Activity } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';

/** Rooms, participants, joins and leaves for each step. */
export function useActivity(query: ActivityQuery = {}): UseQueryResult<Activity, RoomwatchError> {
  const { client, keyPrefix } = useRoomwatch();
  return useQuery({
    queryKey: [...keyPrefix, 'activity', query],
    queryFn: ({ signal }) => client.activity(query, signal),
  });
}
