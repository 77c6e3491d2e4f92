import type { UseQueryResult } from '@tanstack/react-query';
import type { RoomwatchError } from '../core/error';
import type { IngressList } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import type { ScopeOptions } from './options';
import { useFollowed } from './useFollowed';

/** Time between two questions to LiveKit: each counts as a command. */
const REFRESH_MS = 60_000;

/**
 * Returns the ingress of a project, from LiveKit, without stream keys and URLs. For operators.
 *
 * @example
 * const { data } = useIngress();
 * return data?.ingress.map(({ ingressId, name, status }) => <li key={ingressId}>{name}: {status}</li>);
 */
export function useIngress({ project, enabled }: ScopeOptions = {}): UseQueryResult<IngressList, RoomwatchError> {
  const { client } = useRoomwatch();
  return useFollowed<IngressList>({
    key: ['ingress', project ?? null],
    fetch: ({ signal }) => client.ingress({ project }, signal),
    enabled,
    refreshInterval: REFRESH_MS,
  });
}
