import { type UseMutationResult, useMutation } from '@tanstack/react-query';
import type { UpdateParticipant } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { useRoomwatch } from '../RoomwatchProvider';

/** Changes name, metadata, attributes or permission of a participant. */
export function useUpdateParticipant(): UseMutationResult<unknown, RoomwatchError, UpdateParticipant> {
  const { client } = useRoomwatch();
  return useMutation({ mutationFn: (vars) => client.updateParticipant(vars) });
}
