import type { UseQueryResult } from '@tanstack/react-query';
import type { RoomwatchError } from '../core/error';
import type { AgentsAnswer } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import type { ScopeOptions } from './options';
import { useFollowed } from './useFollowed';

/** Time between fetches while the stream is live: minutes pass without an event. */
const REFRESH_MS = 60_000;

/**
 * Returns the agents of the last seven days by name, and the rooms that should have one and have none. Fetched again a
 * second after an event about one.
 *
 * @example
 * const { data } = useAgents();
 * return data?.agents.map(({ name, live }) => <li key={name}>{name}: {live} live</li>);
 */
export function useAgents({ project, enabled }: ScopeOptions = {}): UseQueryResult<AgentsAnswer, RoomwatchError> {
  const { client } = useRoomwatch();
  return useFollowed<AgentsAnswer, AgentsAnswer>({
    key: project ? ['agents', { project }] : ['agents'],
    follows: { kind: 'agents' },
    fetch: ({ signal }) => client.agents({ project }, signal),
    refreshInterval: REFRESH_MS,
    enabled,
  });
}
