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

/** An invalidated query whose fetch failed shows old data while the stream is live: it is fetched again soon. */
const RETRY_MS = 5_000;

export interface FollowedQuery<T, R> {
  key: QueryKey;
  /** Content of the query. Absent if the stream does not change it. */
  follows?: Without<Follows, 'scope'>;
  fetch: (context: QueryFunctionContext) => Promise<T>;
  select?: (data: T) => R;
  enabled?: boolean;
  /** Milliseconds between fetches while the stream is live, for data that no event carries. */
  refreshInterval?: number | ((data: T | undefined) => number | undefined);
}

/** Returns true while the stream delivers nothing, so that queries poll. Renders only when that changes. */
export function useDown(): boolean {
  const { connection } = useRoomwatch();
  const down = () => isDown(connection.getState().status);
  return useSyncExternalStore(connection.onState, down, down);
}

/** Returns the options that all queries of this package share. */
export function followedOptions(roomwatch: Roomwatch, down: boolean, follows?: Without<Follows, 'scope'>) {
  return {
    // Without internet, Roomwatch can still be reachable: it may be on loopback.
    networkMode: 'always',
    staleTime: down ? 0 : Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: down ? 'always' : false,
    refetchOnReconnect: down ? 'always' : false,
    // Unchanged rooms keep their identity already. A deep comparison of thousands would be wasted.
    structuralSharing: false,
    retry: (failures: number, error: RoomwatchError) =>
      failures < 2 && (!(error instanceof RoomwatchError) || error.status === 0 || error.status >= 500),
    meta: follows && { roomwatch: { ...follows, scope: roomwatch.scope } },
  } as const;
}

/** Returns a query that the stream keeps up to date: no requests while live, polling while down. */
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
