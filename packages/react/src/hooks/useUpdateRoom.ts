import type { UseMutationResult } from '@tanstack/react-query';
import type { UpdateRoom } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { editRooms, useCommand } from './useCommand';

/**
 * Changes the metadata of a room.
 *
 * @example
 * const { mutate } = useUpdateRoom();
 * mutate({ room: 'standup', metadata: JSON.stringify({ topic: 'release' }) });
 */
export function useUpdateRoom(): UseMutationResult<unknown, RoomwatchError, UpdateRoom, unknown> {
  return useCommand(
    (client, vars: UpdateRoom) => client.updateRoom(vars),
    ({ room, metadata }, project) =>
      editRooms(room, project, (one) => (one.metadata === metadata ? one : { ...one, metadata })),
  );
}
