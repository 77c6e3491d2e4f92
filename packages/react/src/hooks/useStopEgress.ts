import type { UseMutationResult } from '@tanstack/react-query';
import type { EgressRef } from '../core/client';
import type { RoomwatchError } from '../core/error';
import type { EgressStatus } from '../core/wire';
import { useCommand } from './useCommand';

/**
 * Stops a recording or a stream. LiveKit completes its outputs; then it has ended.
 *
 * @example
 * const { mutate } = useStopEgress();
 * mutate({ egressId: 'EG_rVnFq2pLs8Xy' });
 */
export function useStopEgress(): UseMutationResult<EgressStatus, RoomwatchError, EgressRef, unknown> {
  return useCommand((client, vars: EgressRef) => client.stopEgress(vars));
}
