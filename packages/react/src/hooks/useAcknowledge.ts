import type { UseMutationResult } from '@tanstack/react-query';
import type { Acknowledge } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { useCommand } from './useCommand';

/**
 * Acknowledges a condition, so that it no longer counts. With `undo` it takes the acknowledgement back.
 *
 * @example
 * const { mutate } = useAcknowledge();
 * <button onClick={() => mutate({ id, project, reason: 'known' })}>Acknowledge</button>
 */
export function useAcknowledge(): UseMutationResult<void, RoomwatchError, Acknowledge & { undo?: boolean }, unknown> {
  return useCommand((client, { undo, ...vars }: Acknowledge & { undo?: boolean }) =>
    undo ? client.unacknowledge(vars) : client.acknowledge(vars),
  );
}
