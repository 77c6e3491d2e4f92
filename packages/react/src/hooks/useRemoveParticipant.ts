import type { UseMutationResult } from '@tanstack/react-query';
import type { ParticipantRef } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { editParticipant, useCommand } from './useCommand';

/**
 * Removes a participant from a room. They can join again as long as their token is valid.
 *
 * @example
 * const { mutate } = useRemoveParticipant();
 * <button onClick={() => mutate({ room: 'standup', identity: 'ada' })}>Remove</button>
 */
export function useRemoveParticipant(): UseMutationResult<void, RoomwatchError, ParticipantRef, unknown> {
  return useCommand(
    (client, vars: ParticipantRef) => client.removeParticipant(vars),
    (vars, project) => {
      const from = Date.now();
      // If the same identity joins again, that is another participant.
      return editParticipant(vars, project, (one) => ((one.joinedAt ?? 0) > from ? one : null));
    },
  );
}
