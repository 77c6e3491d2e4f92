import type { Message } from '@roomwatch/react';

/** Names that are remembered; a new one beyond it takes the place of the one that was heard longest ago. */
const NAMES_MAX = 20_000;

/** What participants are called, by project and sid. */
const names = new Map<string, string>();

const keyOf = (project: string, sid: string) => `${project} ${sid}`;

function hold(project: string, sid: unknown, name: unknown) {
  if (typeof sid !== 'string' || sid === '') return;
  const key = keyOf(project, sid);
  // Put back at the end: whoever is still heard of is not forgotten.
  names.delete(key);
  if (typeof name !== 'string' || name === '') return;
  names.set(key, name);
  if (names.size > NAMES_MAX) names.delete(names.keys().next().value as string);
}

/**
 * LiveKit names somebody where they come, go or change; an event of one of their tracks has only their sid and identity.
 * What one has said is remembered for the others, so that the same person is called the same on every line. Messages in
 * log order; `past` ones say nothing new of anybody who is known.
 */
export function noteNames(messages: readonly Pick<Message, 'type' | 'data' | 'project'>[], past = false) {
  for (const { type, data, project } of messages) {
    if (!type.startsWith('participant_') || (past && calledIn({ data, project }) !== null)) continue;
    hold(project, data.participant?.sid, data.participant?.name);
  }
}

/** The same from a list of who is in a room. */
export function noteParticipants(participants: readonly { project: string; sid: string; name: string }[]) {
  for (const { project, sid, name } of participants) hold(project, sid, name);
}

/** What the participant of an event is called, as far as anybody has said. */
export function calledIn({ data, project }: Pick<Message, 'data' | 'project'>): string | null {
  const { sid } = data.participant ?? {};
  return typeof sid === 'string' ? (names.get(keyOf(project, sid)) ?? null) : null;
}
