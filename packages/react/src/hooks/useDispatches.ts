import type { UseMutationResult, UseQueryResult } from '@tanstack/react-query';
import type { CreateDispatch, DispatchRef, RoomRef } from '../core/client';
import type { RoomwatchError } from '../core/error';
import type { Dispatch } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import { useAskedCommand } from './useAskedCommand';
import { useFollowed } from './useFollowed';

/** Time between two questions to LiveKit: each counts as a command. */
const REFRESH_MS = 30_000;
/** The same while a worker may be taking the job of a new dispatch. */
const WAITING_MS = 3_000;
const WAITING_MS_MAX = 20_000;

type Answer = { dispatches: Dispatch[] };

const keyOf = ({ room, project }: RoomRef) => ['dispatches', room, project ?? null] as const;
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
    key: keyOf(ref),
    fetch: ({ signal }) => client.dispatches(ref, signal),
    select: listOf,
    enabled,
    refreshInterval: (data) => (data?.dispatches.some(isWaiting) ? WAITING_MS : REFRESH_MS),
  });
}

function isWaiting({ jobs, createdAt }: Dispatch): boolean {
  return Date.now() - createdAt < WAITING_MS_MAX && jobs.every(({ status }) => status === 'pending');
}

/**
 * Asks for an agent in a live room.
 *
 * @example
 * const { mutate } = useCreateDispatch();
 * mutate({ room: 'standup', agentName: 'support' });
 */
export function useCreateDispatch(): UseMutationResult<Dispatch, RoomwatchError, CreateDispatch> {
  return useAskedCommand((client, vars: CreateDispatch) => client.createDispatch(vars), keyOf);
}

/**
 * Deletes an agent dispatch. LiveKit ends its jobs, and removes their agents from the room.
 *
 * @example
 * const { mutate } = useDeleteDispatch();
 * mutate({ room: 'standup', id: 'AD_3yq5fkZ8cTzN' });
 */
export function useDeleteDispatch(): UseMutationResult<void, RoomwatchError, DispatchRef> {
  return useAskedCommand((client, vars: DispatchRef) => client.deleteDispatch(vars), keyOf);
}
