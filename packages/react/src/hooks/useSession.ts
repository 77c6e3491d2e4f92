import { type UseQueryResult, useQuery } from '@tanstack/react-query';

import type { RoomwatchError } from '../core/error';
import type { SessionDetail } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import type { ScopeOptions } from './options';

/** One life of a room: participations, tracks, egress. */
export function useSession(sid: string, options: ScopeOptions = {}): UseQueryResult<SessionDetail, RoomwatchError> {
  const { client, keyPrefix } = useRoomwatch();
  return useQuery({
    queryKey: [...keyPrefix, 'sessions', sid, ...(options.project ? [options.project] : [])],
    queryFn: ({ signal }) => client.session(sid, options, signal),
  });
}
