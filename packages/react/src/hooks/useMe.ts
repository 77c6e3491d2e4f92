import type { UseQueryResult } from '@tanstack/react-query';
import type { RoomwatchError } from '../core/error';
import type { Me } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import { useFollowed } from './useFollowed';

/**
 * Returns the caller and their rights; an error with status 401 while signed out.
 *
 * @example
 * const { data: me } = useMe();
 * const mayEnd = me?.role === 'operator' || me?.role === 'admin';
 */
export function useMe(): UseQueryResult<Me, RoomwatchError> {
  const { client } = useRoomwatch();
  return useFollowed({ key: ['me'], follows: { kind: 'me' }, fetch: ({ signal }) => client.me(signal) });
}
