import type { UseQueryResult } from '@tanstack/react-query';
import type { RoomData } from '../core/apply';
import { RoomwatchError } from '../core/error';
import type { Egress, Ingress, Room } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import { type RoomOptions, refreshOf } from './options';
import { useFollowed } from './useFollowed';

const room = (data: RoomData) => data.room;
const egress = (data: RoomData) => data.egress;
const ingress = (data: RoomData) => data.ingress;

/**
 * Returns the newest live session of a room, or null while the room is not live.
 *
 * @example
 * const { data: room } = useRoom('standup');
 * return room ? <h1>{room.name}: {room.participantCount}</h1> : <p>Not live</p>;
 */
export function useRoom(name: string, options: RoomOptions = {}): UseQueryResult<Room | null, RoomwatchError> {
  return useRoomData(name, options, room);
}

/** Returns the recordings and streams of a live room, from the same query as {@link useRoom}. */
export function useRoomEgress(name: string, options: RoomOptions = {}): UseQueryResult<Egress[], RoomwatchError> {
  return useRoomData(name, options, egress);
}

/** Returns the media sent into a live room, from the same query as {@link useRoom}. */
export function useRoomIngress(name: string, options: RoomOptions = {}): UseQueryResult<Ingress[], RoomwatchError> {
  return useRoomData(name, options, ingress);
}

function useRoomData<R>(
  name: string,
  { project, enabled, watch }: RoomOptions,
  select: (data: RoomData) => R,
): UseQueryResult<R, RoomwatchError> {
  const roomwatch = useRoomwatch();
  const { client, cache, keyPrefix, scope } = roomwatch;
  const key = project ? ['rooms', name, project] : ['rooms', name];
  return useFollowed<RoomData, R>({
    key,
    follows: { kind: 'room', name, project },
    fetch: ({ signal }) =>
      cache.load({ scope, kind: 'room', name, project }, [...keyPrefix, ...key], async (): Promise<RoomData> => {
        const answer = await client.room({ room: name, project }, signal).catch(notLive);
        const { cursor = null, room = null, egress = [], ingress = [] } = answer ?? {};
        return { cursor, room, egress, ingress };
      }),
    select,
    enabled,
    // LiveKit knows nothing about a room that is not live.
    refreshInterval: (data) => refreshOf(name, watch && data?.room !== null, roomwatch),
  });
}

/** Turns "not live" into an answer: it is not a failure. */
export function notLive(error: unknown): null {
  if (error instanceof RoomwatchError && error.code === 'room_not_live') return null;
  throw error;
}
