import { type InfiniteData, type UseInfiniteQueryResult, useInfiniteQuery } from '@tanstack/react-query';
import type { SessionsQuery } from '../core/client';
import type { RoomwatchError } from '../core/error';
import type { SessionsPage } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import { followedOptions, useDown } from './useFollowed';

export interface SessionsOptions extends Omit<SessionsQuery, 'before'> {
  enabled?: boolean;
}

/**
 * Returns live and past sessions, the newest first, page by page. Fetched again a few seconds after a room starts or
 * ends.
 *
 * @example
 * const { data, fetchNextPage, hasNextPage } = useSessions({ identity: 'ada' });
 * const sessions = data?.pages.flatMap((page) => page.sessions) ?? [];
 */
export function useSessions({
  enabled,
  ...query
}: SessionsOptions = {}): UseInfiniteQueryResult<InfiniteData<SessionsPage>, RoomwatchError> {
  const roomwatch = useRoomwatch();
  const down = useDown();
  return useInfiniteQuery({
    ...followedOptions(roomwatch, down, { kind: 'sessions' }),
    queryKey: [...roomwatch.keyPrefix, 'sessions', query],
    queryFn: ({ signal, pageParam }) => roomwatch.client.sessions({ ...query, before: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page: SessionsPage) => page.next ?? undefined,
    refetchInterval: down ? roomwatch.pollInterval : false,
    enabled,
  });
}
