import type { UseQueryResult } from '@tanstack/react-query';
import type { RoomData } from '../core/apply';
import { RoomwatchError } from '../core/error';
import type { Room } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import { type RoomOptions, refreshOf } from './options';
import { useFollowed } from './useFollowed';

const room = (data: RoomData) => data.room;

/**
 * The newest live session of a room; null while there is none, until one begins.
 *
 * @example
 * const { data: room } = useRoom('standup');
 * return room ? <h1>{room.name}: {room.participantCount}</h1> : <p>Nobody is meeting.</p>;
 */
export function useRoom(
  name: string,
  { project, enabled, watch }: RoomOptions = {},
): UseQueryResult<Room | null, RoomwatchError> {
  const roomwatch = useRoomwatch();
  const { client, cache, keyPrefix, scope } = roomwatch;
  const key = project ? ['rooms', name, project] : ['rooms', name];
  return useFollowed<RoomData, Room | null>({
    key,
    follows: { kind: 'room', name, project },
    fetch: ({ signal }) =>
      cache.load({ scope, kind: 'room', name, project }, [...keyPrefix, ...key], async (): Promise<RoomData> => {
        const answer = await client.room({ room: name, project }, signal).catch(notLive);
        return { cursor: answer?.cursor ?? null, room: answer?.room ?? null };
      }),
    select: room,
    enabled,
    refreshInterval: refreshOf(name, watch, roomwatch),
  });
}

/** That a room is not live is an answer, not a failure. */
export function notLive(error: unknown): null {
  if (error instanceof RoomwatchError && error.code === 'room_not_live') return null;
  throw error;
}
