import type { UseMutationResult } from '@tanstack/react-query';
import type { SendData } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { useCommand } from './useCommand';

/**
 * Sends data to a room, or to some identities in it. LiveKit reports no event for it: the response is all there is.
 *
 * @example
 * const { mutate } = useSendData();
 * mutate({ room: 'standup', text: 'five minutes left', topic: 'notice' });
 */
export function useSendData(): UseMutationResult<void, RoomwatchError, SendData, unknown> {
  return useCommand((client, vars: SendData) => client.sendData(vars));
}
