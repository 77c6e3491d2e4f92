import { cursorBefore, type SessionDetail, useRoomwatch } from '@roomwatch/react';
import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { cursorAt } from '@/events/seek';
import type { Caller } from '@/room/calls';
import { leaveWords } from './leave-words';
import { timelineOf } from './timeline';

const PAGE = 1_000;
/** Maximum pages that are read. The attributes of a call are in its first and its last event. */
const PAGES_MAX = 3;
/** Maximum time between LiveKit's clock and the arrival of an event. */
const CLOCKS_MS_MAX = 5_000;

/**
 * Returns the phone calls of a session, with the numbers of the caller. They are attributes of participants, which the
 * history does not have: they are read from the events, for as long as the log has them.
 */
export function useCalls(detail: SessionDetail | undefined): Caller[] {
  const { client } = useRoomwatch();
  const session = detail?.session;
  const lanes = useMemo(
    () => detail && timelineOf(detail, Date.now()).lanes.filter(({ kind }) => kind === 'sip'),
    [detail],
  );
  const { data } = useQuery({
    queryKey: ['calls', session?.project, session?.sid, session?.endedAt],
    queryFn: async ({ signal }) => {
      const attributes: Record<string, Record<string, string>> = {};
      if (!session) return attributes;
      const { room, project } = session;
      let after = await cursorAt(client, session.startedAt - CLOCKS_MS_MAX, signal);
      for (let page = 0; after !== null && page < PAGES_MAX; page++) {
        const answer = await client.events(
          { after: page === 0 ? cursorBefore(after) : after, room, project, type: 'participant_*', limit: PAGE },
          signal,
        );
        for (const { data: event } of answer.events) {
          const { sid, attributes: some } = event.participant ?? {};
          if (typeof sid === 'string' && isTexts(some)) attributes[sid] = { ...attributes[sid], ...some };
        }
        after = answer.next;
      }
      return attributes;
    },
    enabled: lanes !== undefined && lanes.length > 0,
    staleTime: Number.POSITIVE_INFINITY,
  });
  return useMemo(
    () =>
      (lanes ?? []).flatMap(({ identity, name, stays }) =>
        stays.map((stay) => ({
          sid: stay.participation.sid,
          identity,
          name,
          attributes: data?.[stay.participation.sid] ?? {},
          result: stay.to === null ? undefined : leaveWords(stay),
        })),
      ),
    [lanes, data],
  );
}

const isTexts = (value: unknown): value is Record<string, string> => typeof value === 'object' && value !== null;
