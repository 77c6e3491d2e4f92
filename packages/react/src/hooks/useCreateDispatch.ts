import type { UseMutationResult } from '@tanstack/react-query';
import type { CreateDispatch } from '../core/client';
import type { RoomwatchError } from '../core/error';
import type { Dispatch } from '../core/wire';
import { useAskedCommand } from './useAskedCommand';
import { dispatchesOf } from './useDispatches';

/**
 * Asks for an agent in a live room.
 *
 * @example
 * const { mutate } = useCreateDispatch();
 * mutate({ room: 'standup', agentName: 'support' });
 */
export function useCreateDispatch(): UseMutationResult<Dispatch, RoomwatchError, CreateDispatch> {
  return useAskedCommand((client, vars: CreateDispatch) => client.createDispatch(vars), dispatchesOf);
}
