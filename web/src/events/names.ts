import type { Message } from '@roomwatch/react';

/** Maximum remembered names. The one that was not used for the longest time is dropped. */
const NAMES_MAX = 20_000;

/** Names of participants, by project and sid. */
const names = new Map<string, string>();

const keyOf = (project: string, sid: string) => `${project} ${sid}`;

function hold(project: string, sid: unknown, name: unknown) {
  if (typeof sid !== 'string' || sid === '') return;
  const key = keyOf(project, sid);
  // Moved to the end, because it was used.
  names.delete(key);
  if (typeof name !== 'string' || name === '') return;
  names.set(key, name);
  if (names.size > NAMES_MAX) names.delete(names.keys().next().value as string);
}

/**
 * Remembers the names in messages, which are in log order. LiveKit sends a name only with joins, leaves and updates;
 * events of tracks have sid and identity. So every row shows the same name. `past` messages do not replace a known
 * name.
 */
export function noteNames(messages: readonly Pick<Message, 'type' | 'data' | 'project'>[], past = false) {
  for (const { type, data, project } of messages) {
    if (!type.startsWith('participant_') || (past && calledIn({ data, project }) !== null)) continue;
    hold(project, data.participant?.sid, data.participant?.name);
  }
}

/** Remembers the names of a list of participants. */
export function noteParticipants(participants: readonly { project: string; sid: string; name: string }[]) {
  for (const { project, sid, name } of participants) hold(project, sid, name);
}

/** Returns the participants in messages whose name is unknown, by session. */
export function withoutName(messages: readonly Pick<Message, 'data' | 'project'>[]) {
  const sessions = new Map<string, { project: string; session: string; sids: string[] }>();
  for (const { data, project } of messages) {
    const [sid, session] = [data.participant?.sid, data.room?.sid];
    if (typeof sid !== 'string' || typeof session !== 'string' || sid === '' || session === '') continue;
    if (names.has(keyOf(project, sid))) continue;
    const key = keyOf(project, session);
    const found = sessions.get(key) ?? { project, session, sids: [] };
    if (!found.sids.includes(sid)) found.sids.push(sid);
    sessions.set(key, found);
  }
  return [...sessions.values()];
}

/** Returns the known name of the participant of an event, or null. */
export function calledIn({ data, project }: Pick<Message, 'data' | 'project'>): string | null {
  const { sid } = data.participant ?? {};
  return typeof sid === 'string' ? (names.get(keyOf(project, sid)) ?? null) : null;
}
