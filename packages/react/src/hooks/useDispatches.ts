import type { UseQueryResult } from '@tanstack/react-query';
import type { RoomRef } from '../core/client';
import type { RoomwatchError } from '../core/error';
import type { Dispatch } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import { useFollowed } from './useFollowed';

/** Time between two questions to LiveKit: each counts as a command. */
const REFRESH_MS = 30_000;
/** The same while a worker may be taking the job of a new dispatch. */
const WAITING_MS = 3_000;
const WAITING_MS_MAX = 20_000;

type Answer = { dispatches: Dispatch[] };

/** Returns the key of the query for a room. */
export const dispatchesOf = ({ room, project }: RoomRef) => ['dispatches', room, project ?? null] as const;

const listOf = ({ dispatches }: Answer) => dispatches;

/**
 * Returns the agent dispatches of a live room, from LiveKit: no event carries them. For callers who may moderate the room.
 *
 * @example
 * const { data } = useDispatches({ room: 'standup' });
 * return data?.map(({ id, agentName }) => <li key={id}>{agentName}</li>);
 */
export function useDispatches({
  enabled,
  ...ref
}: RoomRef & { enabled?: boolean }): UseQueryResult<Dispatch[], RoomwatchError> {
  const { client } = useRoomwatch();
  return useFollowed<Answer, Dispatch[]>({
    key: dispatchesOf(ref),
    fetch: ({ signal }) => client.dispatches(ref, signal),
    select: listOf,
    enabled,
    refreshInterval: (data) => (data?.dispatches.some(isWaiting) ? WAITING_MS : REFRESH_MS),
  });
}

function isWaiting({ jobs, createdAt }: Dispatch): boolean {
  return Date.now() - createdAt < WAITING_MS_MAX && jobs.every(({ status }) => status === 'pending');
}
