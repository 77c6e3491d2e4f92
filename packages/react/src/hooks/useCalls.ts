import { type InfiniteData, type UseInfiniteQueryResult, useInfiniteQuery } from '@tanstack/react-query';
import type { CallsQuery } from '../core/client';
import type { RoomwatchError } from '../core/error';
import type { CallsPage } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import { followedOptions, useDown } from './useFollowed';

export interface CallsOptions extends Omit<CallsQuery, 'before'> {
  enabled?: boolean;
}

/**
 * Returns phone calls (participants of kind SIP), live and ended, the newest first, page by page. Fetched again a second after an event about one.
 *
 * @example
 * const { data, fetchNextPage, hasNextPage } = useCalls({ outcome: 'no_answer' });
 * const calls = data?.pages.flatMap((page) => page.calls) ?? [];
 */
export function useCalls({
  enabled,
  ...query
}: CallsOptions = {}): UseInfiniteQueryResult<InfiniteData<CallsPage>, RoomwatchError> {
  const roomwatch = useRoomwatch();
  const down = useDown();
  return useInfiniteQuery({
    ...followedOptions(roomwatch, down, { kind: 'calls' }),
    queryKey: [...roomwatch.keyPrefix, 'calls', query],
    queryFn: ({ signal, pageParam }) => roomwatch.client.calls({ ...query, before: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page: CallsPage) => page.next ?? undefined,
    refetchInterval: down ? roomwatch.pollInterval : false,
    enabled,
  });
}
