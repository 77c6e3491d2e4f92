import type { UseQueryResult } from '@tanstack/react-query';
import type { ActivityQuery } from '../core/client';
import type { RoomwatchError } from '../core/error';
import type { Activity } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import { useFollowed } from './useFollowed';

const REFRESH_MS_MIN = 10_000;

export interface ActivityOptions extends ActivityQuery {
  /** Length of a window that ends now, in milliseconds. Instead of `from` and `to`. */
  last?: number;
  enabled?: boolean;
}

/**
 * Returns rooms, participants, joins and leaves for each step, from the history. A window that ends now is fetched
 * again once a step: time passes without events.
 *
 * @example
 * const { data } = useActivity({ last: 3_600_000, step: 60_000 });
 * return <Chart points={data?.points} />;
 */
export function useActivity({
  last,
  enabled,
  ...query
}: ActivityOptions = {}): UseQueryResult<Activity, RoomwatchError> {
  const { client } = useRoomwatch();
  return useFollowed({
    key: ['activity', { ...query, last }],
    fetch: ({ signal }) => client.activity(last ? { ...query, from: Date.now() - last } : query, signal),
    refreshInterval: query.to === undefined ? Math.max(REFRESH_MS_MIN, query.step ?? 60_000) : undefined,
    enabled,
  });
}
