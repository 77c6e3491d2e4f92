import type { UseMutationResult } from '@tanstack/react-query';
import type { RoomRef } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { editRooms, useCommand } from './useCommand';

/**
 * Ends a room for everybody in it. Clients that reconnect create it anew: that is another session, and is shown.
 *
 * @example
 * const { mutate } = useDeleteRoom();
 * <button onClick={() => confirm('End it for everybody?') && mutate({ room: 'standup' })}>End</button>
 */
export function useDeleteRoom(): UseMutationResult<void, RoomwatchError, RoomRef, unknown> {
  return useCommand(
    (client, vars: RoomRef) => client.deleteRoom(vars),
    ({ room }, project) => {
      const from = Date.now();
      // A session that began after the command is not the one that was ended.
      return editRooms(room, project, (one) => ((one.startedAt ?? 0) > from ? one : null));
    },
  );
}
