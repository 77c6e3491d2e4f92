import {
  type QueryFunctionContext,
  type QueryKey,
  type UseQueryOptions,
  type UseQueryResult,
  useQuery,
} from '@tanstack/react-query';
import { useSyncExternalStore } from 'react';
import { type Follows, isDown } from '../cache/follows';
import { RoomwatchError } from '../core/error';
import { type Roomwatch, useRoomwatch } from '../RoomwatchProvider';

/** `Omit` that keeps a union a union. */
type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** An invalidated query whose fetch failed shows old data under a live pill: it is asked again soon. */
const RETRY_MS = 5_000;

export interface FollowedQuery<T, R> {
  key: QueryKey;
  /** Absent: the stream does not move this query. */
  follows?: Without<Follows, 'scope'>;
  fetch: (context: QueryFunctionContext) => Promise<T>;
  select?: (data: T) => R;
  enabled?: boolean;
  /** Milliseconds between fetches while the stream is live, for data that no event carries. */
  refreshInterval?: number | ((data: T | undefined) => number | undefined);
}

/** Whether the stream gives nothing, so that queries poll; renders only when that changes. */
export function useDown(): boolean {
  const { connection } = useRoomwatch();
  const down = () => isDown(connection.getState().status);
  return useSyncExternalStore(connection.onState, down, down);
}

/** What all of our queries have in common. */
export function followedOptions(roomwatch: Roomwatch, down: boolean, follows?: Without<Follows, 'scope'>) {
  return {
    // Whether this machine has the internet says nothing about Roomwatch, which may be on loopback.
    networkMode: 'always',
    staleTime: down ? 0 : Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: down ? 'always' : false,
    refetchOnReconnect: down ? 'always' : false,
    // Rooms that did not change keep their identity already; a deep comparison of thousands would find out nothing.
    structuralSharing: false,
    retry: (failures: number, error: RoomwatchError) =>
      failures < 2 && (!(error instanceof RoomwatchError) || error.status === 0 || error.status >= 500),
    meta: follows && { roomwatch: { ...follows, scope: roomwatch.scope } },
  } as const;
}

/** A query that the stream keeps true: no refetching while live, polling while down. */
export function useFollowed<T, R = T>(query: FollowedQuery<T, R>): UseQueryResult<R, RoomwatchError> {
  const roomwatch = useRoomwatch();
  const down = useDown();
  const { pollInterval } = roomwatch;
  const options: UseQueryOptions<T, RoomwatchError, R> = {
    ...followedOptions(roomwatch, down, query.follows),
    queryKey: [...roomwatch.keyPrefix, ...query.key],
    queryFn: query.fetch,
    select: query.select,
    enabled: query.enabled,
    refetchInterval: ({ state }) => {
      if (down) return pollInterval;
      if (state.isInvalidated && state.status === 'error') return Math.min(RETRY_MS, pollInterval);
      const { refreshInterval } = query;
      return (typeof refreshInterval === 'function' ? refreshInterval(state.data) : refreshInterval) ?? false;
    },
  };
  return useQuery(options);
}
