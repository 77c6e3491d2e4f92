import type { UseMutationResult } from '@tanstack/react-query';
import type { StartEgress } from '../core/client';
import type { RoomwatchError } from '../core/error';
import type { EgressStatus } from '../core/wire';
import { useCommand } from './useCommand';

/**
 * Starts a recording or a stream with a preset of the server's configuration. `egressPresets` of {@link useProjects} lists
 * those that the caller may use.
 *
 * @example
 * const { mutate } = useStartEgress();
 * mutate({ preset: 'archive', room: 'standup' });
 */
export function useStartEgress(): UseMutationResult<EgressStatus, RoomwatchError, StartEgress, unknown> {
  return useCommand((client, vars: StartEgress) => client.startEgress(vars));
}
