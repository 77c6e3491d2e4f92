import {
  type AttentionData,
  applyToAttention,
  applyToParticipants,
  applyToRoom,
  applyToRooms,
  applyToSession,
  type ParticipantsData,
  type RoomData,
  type RoomScope,
  type RoomsData,
} from '../core/apply';
import type { UNKNOWN } from '../core/tail';
import type { Message, Projects, SessionDetail } from '../core/wire';
import type { Batch } from './batch';
import type { Follows } from './follows';

/**
 * Returns the data of a query after a batch of messages: the same object if nothing changed, UNKNOWN if the messages do
 * not fit. `lists` are the lists of rooms in the cache.
 */
export function applyBatch(
  follows: Follows,
  data: unknown,
  batch: Batch,
  lists: () => RoomsData[],
): unknown | typeof UNKNOWN {
  switch (follows.kind) {
    case 'rooms':
      return applyToRooms(data as RoomsData, batch.all, follows.project);
    case 'room':
      return applyToRoom(data as RoomData, batch.of(follows.name), roomScope(follows, lists));
    case 'participants':
      return applyToParticipants(data as ParticipantsData, batch.of(follows.name), roomScope(follows, lists));
    case 'session': {
      const detail = data as SessionDetail;
      return applyToSession(detail, batch.of(detail.session.room));
    }
    case 'attention':
      return applyToAttention(data as AttentionData, batch.all, follows.project);
    case 'projects':
      return applyToProjects(data as Projects, batch.all);
    case 'sessions':
    case 'egress':
    case 'calls':
    case 'agents':
    case 'me':
      return data;
  }
}

/** One name can have two live sessions. When the newest ends, the other becomes the room; a list of rooms knows it. */
function roomScope(follows: { name: string; project?: string }, lists: () => RoomsData[]): RoomScope {
  return {
    ...follows,
    another(sid) {
      const known = lists();
      return (
        known.length === 0 ||
        known.some(({ rooms }) => rooms.some((one) => one.name === follows.name && one.sid !== sid))
      );
    },
  };
}

/** Moves the time of the last webhook. The rest of a project's health has no events. */
function applyToProjects(data: Projects, messages: readonly Message[]): Projects {
  const last = new Map<string, Message>();
  for (const message of messages) if (message.source === 'webhook') last.set(message.project, message);
  if (!data.projects.some(({ name, lastWebhookAt }) => (last.get(name)?.timestamp ?? 0) > (lastWebhookAt ?? 0)))
    return data;
  return {
    ...data,
    projects: data.projects.map((project) => {
      const message = last.get(project.name);
      if (!message || message.timestamp <= (project.lastWebhookAt ?? 0)) return project;
      return { ...project, lastWebhookAt: message.timestamp, lastWebhookEvent: message.type };
    }),
  };
}
