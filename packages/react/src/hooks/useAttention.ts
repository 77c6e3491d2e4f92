import type { UseQueryResult } from '@tanstack/react-query';
import type { AttentionData } from '../core/apply';
import type { RoomwatchError } from '../core/error';
import { useRoomwatch } from '../RoomwatchProvider';
import type { ScopeOptions } from './options';
import { useFollowed } from './useFollowed';

/**
 * Returns the conditions that are open, the worst first, and the thresholds in force. The stream keeps them up to date.
 *
 * @example
 * const { data } = useAttention();
 * return data?.conditions.map(({ id, kind, room }) => <li key={id}>{kind} {room}</li>);
 */
export function useAttention({ project, enabled }: ScopeOptions = {}): UseQueryResult<AttentionData, RoomwatchError> {
  const { client, cache, keyPrefix, scope } = useRoomwatch();
  const key = project ? ['attention', { project }] : ['attention'];
  return useFollowed<AttentionData>({
    key,
    follows: { kind: 'attention', project },
    fetch: ({ signal }) =>
      cache.load(
        { scope, kind: 'attention', project },
        [...keyPrefix, ...key],
        (): Promise<AttentionData> => client.attention({ project }, signal),
      ),
    enabled,
  });
}
