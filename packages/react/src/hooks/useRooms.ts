import type { UseQueryResult } from '@tanstack/react-query';
import type { RoomsData } from '../core/apply';
import type { RoomwatchError } from '../core/error';
import type { Room } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import type { ScopeOptions } from './options';
import { useFollowed } from './useFollowed';

const rooms = (data: RoomsData) => data.rooms;

/**
 * Returns all live rooms, kept up to date by the stream. Unchanged rooms keep their identity, so that memoised rows do
 * not render. A room that is being created has a sid that starts with `pending:`.
 *
 * @example
 * const { data: rooms = [] } = useRooms();
 * return rooms.map((room) => <li key={room.sid}>{room.name}: {room.participantCount}</li>);
 */
export function useRooms({ project, enabled }: ScopeOptions = {}): UseQueryResult<Room[], RoomwatchError> {
  const { client, cache, keyPrefix, scope, rooms: only } = useRoomwatch();
  const key = project ? ['rooms', { project }] : ['rooms'];
  return useFollowed<RoomsData, Room[]>({
    key,
    follows: { kind: 'rooms', project },
    fetch: ({ signal }) =>
      cache.load(
        { scope, kind: 'rooms', project },
        [...keyPrefix, ...key],
        (): Promise<RoomsData> =>
          // Rooms that the provider's stream has no events of would never change.
          client.rooms({ project, room: only }, signal),
      ),
    select: rooms,
    enabled,
  });
}
