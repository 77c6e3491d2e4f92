import { type UseMutationResult, useMutation } from '@tanstack/react-query';
import type { Follows } from '../cache/follows';
import type { Edit, OptimisticUpdate } from '../cache/optimistic';
import type { ParticipantsData, RoomData, RoomsData } from '../core/apply';
import type { RoomwatchClient } from '../core/client';
import type { RoomwatchError } from '../core/error';
import type { Participant, Room } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';

/**
 * Returns a mutation with an optimistic update: drawn at once, rolled back on an error, settled by the event and not by
 * the response, because LiveKit answers before it has carried out the command.
 */
export function useCommand<V, R>(
  run: (client: RoomwatchClient, vars: V) => Promise<R>,
  edit?: (vars: V, project: string | undefined) => Edit,
): UseMutationResult<R, RoomwatchError, V, OptimisticUpdate | undefined> {
  const { client, cache } = useRoomwatch();
  return useMutation({
    networkMode: 'always',
    mutationFn: (vars) => run(client, vars),
    onMutate: (vars) => edit && cache.edit(edit(vars, (vars as { project?: string }).project ?? client.project)),
    onError: (_error, _vars, update) => update?.rollback(),
    onSuccess: (_answer, _vars, update) => update?.accepted(),
  });
}

/** Returns an edit of the rooms of one name, in every list. Null removes the room. */
export function editRooms(name: string, project: string | undefined, edit: (room: Room) => Room | null): Edit {
  const one = (room: Room) => (room.name === name && (!project || room.project === project) ? edit(room) : room);
  return (follows, data) => {
    if (follows.kind === 'rooms') {
      const { rooms } = data as RoomsData;
      const next = rooms.flatMap((room) => one(room) ?? []);
      return same(rooms, next) ? data : { ...(data as RoomsData), rooms: next };
    }
    if (follows.kind === 'room') {
      const { room } = data as RoomData;
      const next = room && one(room);
      return next === room ? data : { ...(data as RoomData), room: next };
    }
    return data;
  };
}

/** Returns an edit of one identity in a room. Null removes the participant. */
export function editParticipant(
  ref: { room: string; identity: string },
  project: string | undefined,
  edit: (participant: Participant) => Participant | null,
): Edit {
  return (follows, data) => {
    if (follows.kind !== 'participants' || follows.name !== ref.room) return data;
    const { participants } = data as ParticipantsData;
    const next = participants.flatMap((one) => {
      if (one.identity !== ref.identity || (project && one.project !== project)) return one;
      return edit(one) ?? [];
    });
    return same(participants, next) ? data : { ...(data as ParticipantsData), participants: next };
  };
}

/** Returns true if a query shows rooms of this project. */
export function shows(follows: Follows, project: string | undefined): boolean {
  return !('project' in follows) || !follows.project || !project || follows.project === project;
}

function same<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, at) => item === b[at]);
}

/** Returns true if the data has every wanted field. LiveKit adds fields, and drops empty attributes. */
export function has(data: unknown, wanted: unknown): boolean {
  // False and empty values are left out.
  if (typeof wanted !== 'object' || wanted === null) return data === wanted || (!wanted && data === undefined);
  if (Array.isArray(wanted)) return JSON.stringify(data) === JSON.stringify(wanted);
  return Object.entries(wanted).every(
    ([key, value]) => value === undefined || has((data as Record<string, unknown> | null)?.[key], value),
  );
}
