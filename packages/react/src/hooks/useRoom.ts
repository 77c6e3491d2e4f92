import { type UseQueryResult, useQuery } from '@tanstack/react-query';

import type { RoomwatchError } from '../core/error';
import type { Room } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import type { ScopeOptions } from './options';

/** One live room; null when there is none of this name. */
export function useRoom(name: string, options: ScopeOptions = {}): UseQueryResult<Room | null, RoomwatchError> {
  const { client, keyPrefix } = useRoomwatch();
  return useQuery({
    queryKey: [...keyPrefix, 'rooms', name, ...(options.project ? [options.project] : [])],
    queryFn: ({ signal }) => client.room({ room: name, ...options }, signal).then((answer) => answer.room),
  });
}
