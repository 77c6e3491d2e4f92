import { type UseQueryResult, useQuery } from '@tanstack/react-query';

import type { RoomwatchError } from '../core/error';
import type { Room } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import type { ScopeOptions } from './options';

/** All rooms that are live now. */
export function useRooms(options: ScopeOptions = {}): UseQueryResult<Room[], RoomwatchError> {
  const { client, keyPrefix } = useRoomwatch();
  return useQuery({
    queryKey: [...keyPrefix, 'rooms', ...(options.project ? [options.project] : [])],
    queryFn: ({ signal }) => client.rooms(options, signal).then((answer) => answer.rooms),
  });
}
