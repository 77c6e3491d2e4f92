import { type UseMutationResult, useMutation } from '@tanstack/react-query';
import type { ParticipantRef } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { useRoomwatch } from '../RoomwatchProvider';

/** Removes a participant from a room. */
export function useRemoveParticipant(): UseMutationResult<unknown, RoomwatchError, ParticipantRef> {
  const { client } = useRoomwatch();
  return useMutation({ mutationFn: (vars) => client.removeParticipant(vars) });
}
