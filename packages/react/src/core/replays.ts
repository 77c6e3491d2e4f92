import {
  applyToParticipants,
  applyToRoom,
  applyToRooms,
  type ParticipantsData,
  type RoomData,
  type RoomsData,
} from './apply';
import type { RoomwatchClient } from './client';
import { RoomwatchError } from './error';
import { Replay, type ReplayOptions } from './replay';
import { UNKNOWN } from './tail';

/** A room with its participants at one moment. `room.room` is null if it was not live. */
export interface RoomThen {
  room: RoomData;
  people: ParticipantsData;
}

type Client = Pick<RoomwatchClient, 'events' | 'rooms' | 'room'>;
type OnPage = Pick<ReplayOptions<unknown>, 'onPage'>;

/** Returns all rooms at a moment that moves. */
export function replayRooms(client: Client, { project, ...more }: { project?: string } & OnPage = {}) {
  // An absent project must not replace the client's own.
  const of = project ? { project } : {};
  return new Replay<RoomsData>({
    ...more,
    client,
    filter: of,
    load: async (at, signal) => {
      const { rooms, ...then } = await client.rooms({ ...of, at }, signal);
      return { ...then, state: { cursor: then.cursor, rooms } };
    },
    apply: (state, events) => applyToRooms(state, events, project),
  });
}

/** Returns one room at a moment that moves. `project` is needed only if there are several projects. */
export function replayRoom(client: Client, name: string, { project, ...more }: { project?: string } & OnPage = {}) {
  // Only the server knows whether another session of the name was live when one ended.
  const of = project ? { project } : {};
  const scope = { name, project, another: () => true };
  return new Replay<RoomThen>({
    ...more,
    client,
    filter: { room: name, ...of },
    load: async (at, signal) => {
      try {
        const { room, participants, egress, ingress, ...then } = await client.room({ room: name, ...of, at }, signal);
        const { cursor } = then;
        const people = { cursor, roomSid: room.sid, participants };
        return { ...then, state: { room: { cursor, room, egress, ingress }, people } };
      } catch (error) {
        if (!(error instanceof RoomwatchError) || error.code !== 'room_not_live') throw error;
      }
      const { cursor, at: time, exact } = await client.rooms({ room: name, ...of, at }, signal);
      const room = { cursor, room: null, egress: [], ingress: [] };
      return { cursor, at: time, exact, state: { room, people: { cursor, roomSid: null, participants: [] } } };
    },
    apply: (state, events) => {
      const room = applyToRoom(state.room, events, scope);
      const people = applyToParticipants(state.people, events, scope);
      return room === UNKNOWN || people === UNKNOWN ? UNKNOWN : { room, people };
    },
  });
}
