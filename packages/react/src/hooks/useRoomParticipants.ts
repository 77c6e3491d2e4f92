import type { UseQueryResult } from '@tanstack/react-query';
import type { ParticipantsData } from '../core/apply';
import type { RoomwatchError } from '../core/error';
import type { Participant } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import { type RoomOptions, refreshOf } from './options';
import { useFollowed } from './useFollowed';
import { notLive } from './useRoom';

const participants = (data: ParticipantsData) => data.participants;

/**
 * Returns the participants of the newest live session of a room with their tracks; empty while the room is not live.
 *
 * @example
 * const { data: people = [] } = useRoomParticipants('standup');
 * return people.map((p) => <li key={p.sid}>{p.name || p.identity}</li>);
 */
export function useRoomParticipants(
  name: string,
  { project, enabled, watch }: RoomOptions = {},
): UseQueryResult<Participant[], RoomwatchError> {
  const roomwatch = useRoomwatch();
  const { client, cache, keyPrefix, scope } = roomwatch;
  const key = project ? ['participants', name, project] : ['participants', name];
  return useFollowed<ParticipantsData, Participant[]>({
    key,
    follows: { kind: 'participants', name, project },
    fetch: ({ signal }) =>
      cache.load({ scope, kind: 'participants', name, project }, [...keyPrefix, ...key], async () => {
        const answer = await client.participants({ room: name, project }, signal).catch(notLive);
        return answer ?? { cursor: null, roomSid: null, participants: [] };
      }),
    select: participants,
    enabled,
    refreshInterval: refreshOf(name, watch, roomwatch),
  });
}
