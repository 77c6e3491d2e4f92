import { type UseMutationResult, useMutation } from '@tanstack/react-query';
import type { SendData } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { useRoomwatch } from '../RoomwatchProvider';

/** Sends data to a room. LiveKit reports no event for it. */
export function useSendData(): UseMutationResult<unknown, RoomwatchError, SendData> {
  const { client } = useRoomwatch();
  return useMutation({ mutationFn: (vars) => client.sendData(vars) });
}
