import type { UseMutationResult } from '@tanstack/react-query';
import type { Edit } from '../cache/optimistic';
import type { RoomData, RoomsData } from '../core/apply';
import type { CreateRoom } from '../core/client';
import type { RoomwatchError } from '../core/error';
import type { Room } from '../core/wire';
import { shows, useCommand } from './useCommand';

/**
 * Creates a room. The lists show it at once, with a sid that starts with `pending:` until LiveKit reports the real one.
 *
 * @example
 * const { mutate, isPending } = useCreateRoom();
 * <button disabled={isPending} onClick={() => mutate({ name: 'standup' })}>Create</button>
 */
export function useCreateRoom(): UseMutationResult<unknown, RoomwatchError, CreateRoom, unknown> {
  return useCommand((client, vars: CreateRoom) => client.createRoom(vars), draft);
}

function draft(vars: CreateRoom, project: string | undefined): Edit {
  const room: Room = {
    project: project ?? '',
    sid: `pending:${vars.name}`,
    name: vars.name,
    startedAt: null,
    metadata: vars.metadata ?? '',
    participantCount: 0,
    agentCount: 0,
    callCount: 0,
    publisherCount: 0,
    trackCounts: { audio: 0, video: 0, screen: 0 },
    recording: false,
    stale: false,
    source: 'webhook',
    lastEventAt: null,
  };
  const is = (one: Room) => one.name === room.name && (!project || one.project === project);
  return (follows, data) => {
    if (!shows(follows, project)) return data;
    if (follows.kind === 'rooms') {
      const { rooms } = data as RoomsData;
      return rooms.some(is) ? data : { ...(data as RoomsData), rooms: [...rooms, room] };
    }
    if (follows.kind === 'room' && follows.name === room.name) {
      return (data as RoomData).room ? data : { ...(data as RoomData), room };
    }
    return data;
  };
}
