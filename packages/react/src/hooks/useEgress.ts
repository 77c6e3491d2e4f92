import { type InfiniteData, type UseInfiniteQueryResult, useInfiniteQuery } from '@tanstack/react-query';
import type { EgressQuery } from '../core/client';
import type { RoomwatchError } from '../core/error';
import type { EgressPage } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import { followedOptions, useDown } from './useFollowed';

export interface EgressOptions extends Omit<EgressQuery, 'before'> {
  enabled?: boolean;
}

/**
 * Returns recordings and streams, running and ended, the newest first, page by page. Fetched again a second after an event about an egress.
 *
 * @example
 * const { data, fetchNextPage, hasNextPage } = useEgress({ status: 'trouble' });
 * const egress = data?.pages.flatMap((page) => page.egress) ?? [];
 */
export function useEgress({
  enabled,
  ...query
}: EgressOptions = {}): UseInfiniteQueryResult<InfiniteData<EgressPage>, RoomwatchError> {
  const roomwatch = useRoomwatch();
  const down = useDown();
  return useInfiniteQuery({
    ...followedOptions(roomwatch, down, { kind: 'egress' }),
    queryKey: [...roomwatch.keyPrefix, 'egress', query],
    queryFn: ({ signal, pageParam }) => roomwatch.client.egress({ ...query, before: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page: EgressPage) => page.next ?? undefined,
    refetchInterval: down ? roomwatch.pollInterval : false,
    enabled,
  });
}
