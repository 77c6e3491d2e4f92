import type { UseMutationResult } from '@tanstack/react-query';
import type { DispatchRef } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { useAskedCommand } from './useAskedCommand';
import { dispatchesOf } from './useDispatches';

/**
 * Deletes an agent dispatch. LiveKit ends its jobs, and removes their agents from the room.
 *
 * @example
 * const { mutate } = useDeleteDispatch();
 * mutate({ room: 'standup', id: 'AD_3yq5fkZ8cTzN' });
 */
export function useDeleteDispatch(): UseMutationResult<void, RoomwatchError, DispatchRef> {
  return useAskedCommand((client, vars: DispatchRef) => client.deleteDispatch(vars), dispatchesOf);
}
