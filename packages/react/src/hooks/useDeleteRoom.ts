import type { UseMutationResult } from '@tanstack/react-query';
import type { RoomRef } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { editRooms, useCommand } from './useCommand';

/**
 * Deletes a room and disconnects its participants. A client that reconnects creates it again: that is a new session.
 *
 * @example
 * const { mutate } = useDeleteRoom();
 * <button onClick={() => confirm('End the room?') && mutate({ room: 'standup' })}>End</button>
 */
export function useDeleteRoom(): UseMutationResult<void, RoomwatchError, RoomRef, unknown> {
  return useCommand(
    (client, vars: RoomRef) => client.deleteRoom(vars),
    ({ room }, project) => {
      const from = Date.now();
      // A session that started after the command is not the deleted one.
      return editRooms(room, project, (one) => ((one.startedAt ?? 0) > from ? one : null));
    },
  );
}
