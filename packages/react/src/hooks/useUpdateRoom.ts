import { type UseMutationResult, useMutation } from '@tanstack/react-query';
import type { UpdateRoom } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { useRoomwatch } from '../RoomwatchProvider';

/** Changes the metadata of a room. */
export function useUpdateRoom(): UseMutationResult<unknown, RoomwatchError, UpdateRoom> {
  const { client } = useRoomwatch();
  return useMutation({ mutationFn: (vars) => client.updateRoom(vars) });
}
