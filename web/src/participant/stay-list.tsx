import type { Person } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import { leaveReason } from '@/sessions/leave-reason';
import { TROUBLE } from '@/sessions/leave-words';
import { clockTime, count, duration } from '@/ui/format';
import { Age, DayTime } from '@/ui/time';

type Stay = Person['stays'][number];

/** The newest stays of a participant: when, in which room, for how long, and why they left. */
export function StayList({ person }: { person: Person }) {
  const { stays, project, identity, sessions } = person;
  return (
    <>
      <ul className="max-h-[36rem] divide-y divide-line overflow-y-auto">
        {stays.map((stay) => (
          <li
            key={`${stay.sessionSid} ${stay.participantSid}`}
            className="flex items-baseline gap-x-3 px-4 py-2 hover:bg-hover"
          >
            <span className="num w-24 shrink-0 text-xs text-ink-3">
              <DayTime at={stay.joinedAt} />
            </span>
            <span className="min-w-0 grow break-words">
              <Link
                to="/sessions/$sid"
                params={{ sid: stay.sessionSid }}
                search={{ project, at: stay.joinedAt }}
                preload={false}
                className="font-medium hover:underline"
              >
                {stay.room}
              </Link>{' '}
              <span className="text-ink-3">· </span>
              <Leave stay={stay} />
            </span>
            <span className="num shrink-0 text-xs text-ink-2">
              {stay.leftAt === null ? <Age since={stay.joinedAt} /> : duration(stay.leftAt - stay.joinedAt)}
            </span>
          </li>
        ))}
      </ul>
      {sessions > stays.length ? (
        <p className="border-t border-line px-4 py-2 text-xs text-ink-3">
          The newest {count(stays.length)} stays.{' '}
          <Link to="/sessions" search={{ identity, project }} className="text-accent underline">
            All sessions
          </Link>
        </p>
      ) : null}
    </>
  );
}

function Leave({ stay: { leftAt, leftNotBefore, disconnectReason } }: { stay: Stay }) {
  if (leftAt === null) return <span className="text-ink-2">still connected</span>;
  if (disconnectReason === null) {
    return (
      <span className="text-ink-2">
        {leftNotBefore === null ? 'left' : `left between ${clockTime(leftNotBefore)} and ${clockTime(leftAt)}`}
      </span>
    );
  }
  const trouble = TROUBLE.has(disconnectReason.toLowerCase());
  return <span className={trouble ? 'text-bad' : 'text-ink-2'}>{leaveReason(disconnectReason)}</span>;
}
