import { type UseMutationResult, useMutation } from '@tanstack/react-query';
import type { MuteTrack } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { useRoomwatch } from '../RoomwatchProvider';

/** Mutes or unmutes a published track. */
export function useMuteTrack(): UseMutationResult<unknown, RoomwatchError, MuteTrack> {
  const { client } = useRoomwatch();
  return useMutation({ mutationFn: (vars) => client.muteTrack(vars) });
}
