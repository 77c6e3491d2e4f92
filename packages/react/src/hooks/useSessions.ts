import { type InfiniteData, type UseInfiniteQueryResult, useInfiniteQuery } from '@tanstack/react-query';
import type { SessionsQuery } from '../core/client';
import type { RoomwatchError } from '../core/error';
import type { SessionsPage } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';

/** Sessions past and present, the newest first, page by page: `data.pages`, `fetchNextPage()`. */
export function useSessions(
  query: Omit<SessionsQuery, 'before'> = {},
): UseInfiniteQueryResult<InfiniteData<SessionsPage>, RoomwatchError> {
  const { client, keyPrefix } = useRoomwatch();
  return useInfiniteQuery({
    queryKey: [...keyPrefix, 'sessions', query],
    queryFn: ({ signal, pageParam }) => client.sessions({ ...query, before: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page: SessionsPage) => page.next ?? undefined,
  });
}
