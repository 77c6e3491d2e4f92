import { type UseQueryResult, useQuery } from '@tanstack/react-query';

import type { RoomwatchError } from '../core/error';
import type { Me } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';

/** Who the caller is, and what they may do. */
export function useMe(): UseQueryResult<Me, RoomwatchError> {
  const { client, keyPrefix } = useRoomwatch();
  return useQuery({
    queryKey: [...keyPrefix, 'me'],
    queryFn: ({ signal }) => client.me(signal),
  });
}
