import type { UseMutationResult } from '@tanstack/react-query';
import type { ParticipantRef } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { editParticipant, useCommand } from './useCommand';

/**
 * Removes a participant from a room. Whoever still has a token can join again.
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
      // The same identity back again is another participant.
      return editParticipant(vars, project, (one) => ((one.joinedAt ?? 0) > from ? one : null));
    },
  );
}
