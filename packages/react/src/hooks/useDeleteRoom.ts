import { type UseMutationResult, useMutation } from '@tanstack/react-query';
import type { RoomRef } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { useRoomwatch } from '../RoomwatchProvider';

/** Ends a room for everybody in it. */
export function useDeleteRoom(): UseMutationResult<unknown, RoomwatchError, RoomRef> {
  const { client } = useRoomwatch();
  return useMutation({ mutationFn: (vars) => client.deleteRoom(vars) });
}
