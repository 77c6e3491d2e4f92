import { type UseQueryResult, useQuery } from '@tanstack/react-query';

import type { RoomwatchError } from '../core/error';
import type { Participant } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import type { ScopeOptions } from './options';

/** Who is in the room, with their tracks; empty when it is not live. */
export function useRoomParticipants(
  name: string,
  options: ScopeOptions = {},
): UseQueryResult<Participant[], RoomwatchError> {
  const { client, keyPrefix } = useRoomwatch();
  return useQuery({
    queryKey: [...keyPrefix, 'participants', name, ...(options.project ? [options.project] : [])],
    queryFn: ({ signal }) =>
      client.participants({ room: name, ...options }, signal).then((answer) => answer.participants),
  });
}
