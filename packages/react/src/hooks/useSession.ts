import type { UseQueryResult } from '@tanstack/react-query';
import type { RoomwatchError } from '../core/error';
import type { SessionDetail } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import type { ScopeOptions } from './options';
import { useFollowed } from './useFollowed';

/**
 * Returns one session: participations, tracks, egress. While live, it is fetched again a few seconds after its events.
 *
 * @example
 * const { data } = useSession('RM_hycFrzyc8LMX');
 * return data?.participations.map((p) => <li key={p.sid}>{p.identity}</li>);
 */
export function useSession(
  sid: string,
  { project, enabled }: ScopeOptions = {},
): UseQueryResult<SessionDetail, RoomwatchError> {
  const { client } = useRoomwatch();
  return useFollowed({
    key: project ? ['sessions', sid, project] : ['sessions', sid],
    follows: { kind: 'session', sid },
    fetch: ({ signal }) => client.session(sid, { project }, signal),
    enabled,
  });
}
