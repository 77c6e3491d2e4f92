import { type Message, type Participation, useRoomwatch } from '@roomwatch/react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { clockTime } from '@/ui/format';
import { Panel } from '@/ui/panel';
import { Name } from '@/ui/person-name';
import { usePast } from './context';
import { useReplay } from './replay-context';

/** Difference between LiveKit's clock and the arrival of an event that says nothing. */
const CLOCKS_MS = 2_000;
/** Sessions of one name at one moment. There is rarely more than one. */
const SESSIONS_MAX = 3;

export interface Correction {
  sid: string;
  name: string;
  /** Whether the participant was there and not known, or known and not there. */
  kind: 'was there' | 'had left' | 'may have left';
  /** Unix milliseconds by LiveKit's clock. */
  happened: number;
  /** Unix milliseconds at which Roomwatch learned it, if the event is loaded. */
  learned: number | null;
}

/** Compares the people known at a moment with what is known of it today. */
export function correctionsOf(
  participations: readonly Participation[],
  known: ReadonlySet<string>,
  moment: number,
  next: readonly Message[],
): Correction[] {
  const learnedBy = (sid: string, type: string) =>
    next.find((one) => one.type === type && one.data.participant?.sid === sid)?.timestamp ?? null;
  return participations.flatMap((one): Correction[] => {
    const { sid, joinedAt, leftAt, leftNotBefore } = one;
    const name = one.name || one.identity || sid;
    const gone = leftNotBefore ?? leftAt;
    if (!known.has(sid)) {
      const there = joinedAt < moment - CLOCKS_MS && (gone === null || gone > moment + CLOCKS_MS);
      const learned = learnedBy(sid, 'participant_joined');
      return there ? [{ sid, name, kind: 'was there', happened: joinedAt, learned }] : [];
    }
    if (leftAt === null || gone === null || gone > moment - CLOCKS_MS) return [];
    const kind = leftAt <= moment - CLOCKS_MS ? 'had left' : 'may have left';
    return [{ sid, name, kind, happened: gone, learned: learnedBy(sid, 'participant_left') }];
  });
}

const VERBS = { 'was there': 'joined', 'had left': 'left' };

/** Participants of whom Roomwatch knows more today than at the moment. */
export function Corrections({ name, project }: { name: string; project: string | undefined }) {
  const { client } = useRoomwatch();
  const { moment, next } = useReplay();
  const people = usePast()?.people;
  const minute = Math.floor(moment / 60_000) * 60_000;
  const { data } = useQuery({
    queryKey: ['past', 'participations', name, project, minute],
    queryFn: async ({ signal }) => {
      const query = { room: name, project, from: minute, to: minute + 60_000, limit: SESSIONS_MAX };
      const { sessions } = await client.sessions(query, signal);
      const details = await Promise.all(
        sessions.map((one) => client.session(one.sid, { project: one.project }, signal)),
      );
      return details.flatMap(({ participations }) => participations);
    },
    placeholderData: keepPreviousData,
    staleTime: 30_000,
  });
  const found = correctionsOf(data ?? [], new Set(people?.map(({ sid }) => sid)), moment, next);
  if (found.length === 0) return null;
  return (
    <Panel title="Corrected later" label="Corrected later" flush>
      <p className="px-4 pt-2 text-xs text-ink-3">
        The list shows what was known at the moment. Today it is known that:
      </p>
      <ul className="px-4 py-2">
        {found.map(({ sid, name: who, kind, happened, learned }) => (
          <li key={sid} className="py-0.5">
            <span className="font-medium">
              <Name>{who}</Name>
            </span>{' '}
            {kind}
            <span className="num text-ink-3">
              {kind === 'may have left'
                ? ` after ${clockTime(happened)}`
                : ` (${VERBS[kind]} ${clockTime(happened)}${learned === null ? '' : `, learned ${clockTime(learned)}`})`}
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
