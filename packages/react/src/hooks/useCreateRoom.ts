import { type UseMutationResult, useMutation } from '@tanstack/react-query';
import type { CreateRoom } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { useRoomwatch } from '../RoomwatchProvider';

/** Creates a room. */
export function useCreateRoom(): UseMutationResult<unknown, RoomwatchError, CreateRoom> {
  const { client } = useRoomwatch();
  return useMutation({ mutationFn: (vars) => client.createRoom(vars) });
}
