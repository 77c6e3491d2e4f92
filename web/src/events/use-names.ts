import { type Message, useRoomwatch } from '@roomwatch/react';
import { useEffect, useState } from 'react';
import { calledIn, noteParticipants, withoutName } from './names';

/** Maximum number of sessions of which it is remembered that they were asked for. */
const ASKED_MAX = 2_000;

/** Sids of participants whose names were asked for, by project and session. A participant may have no name. */
const asked = new Map<string, Set<string>>();
/** One request after the other: names are not urgent. */
let queue: Promise<unknown> = Promise.resolve();

/**
 * Returns a function that gives the name of an event's participant, or null. LiveKit sends names only with joins, leaves
 * and updates. If the page has not seen one of them, because its feed has a filter or begins later, the names come from
 * the session.
 */
export function useNames(messages: readonly Message[]): (message: Message) => string | null {
  const { client } = useRoomwatch();
  const [, redraw] = useState(0);
  useEffect(() => {
    for (const { project, session, sids } of withoutName(messages)) {
      const key = `${project} ${session}`;
      const known = asked.get(key) ?? new Set();
      if (sids.every((sid) => known.has(sid))) continue;
      asked.delete(key);
      asked.set(key, new Set([...known, ...sids]));
      if (asked.size > ASKED_MAX) asked.delete(asked.keys().next().value as string);
      queue = queue
        .then(() => client.session(session, { project }))
        .then(({ participations }) => {
          noteParticipants(participations.map(({ sid, name }) => ({ project, sid, name })));
          redraw((count) => count + 1);
        })
        // The rows keep the identity.
        .catch(() => {});
    }
  }, [client, messages]);
  return calledIn;
}
