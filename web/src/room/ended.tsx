import { type Session, useSession, useSessions } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import { DoorClosed } from 'lucide-react';
import { buttonClass } from '@/ui/button';
import { duration, fullTime, plural, words } from '@/ui/format';
import { PageHeader, Panel } from '@/ui/panel';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { Ago } from '@/ui/time';

const SESSIONS_MAX = 8;

/**
 * A room that is not live: the session that was followed, if there was one, and what else is remembered of the name. The
 * page stays where it is and comes to life when somebody joins.
 */
export function Ended({ name, project, sid }: { name: string; project: string | undefined; sid: string | undefined }) {
  const past = useSessions({ room: name, project, limit: SESSIONS_MAX });
  const sessions = past.data?.pages.flatMap((page) => page.sessions) ?? [];
  const followed = sid ?? sessions[0]?.sid;
  return (
    <>
      <PageHeader title={name}>Not live. This page wakes up by itself when somebody joins.</PageHeader>
      <div className="grid items-start gap-4 lg:grid-cols-2">
        {followed === undefined ? (
          past.isPending ? (
            <Panel flush>
              <Skeleton rows={3} />
            </Panel>
          ) : past.error ? null : (
            <Panel>
              <Empty icon={<DoorClosed size={22} />} title="No session of this room is known">
                Nobody has met in {name} since Roomwatch has been listening, or you may not see it.
              </Empty>
            </Panel>
          )
        ) : (
          <LastSession sid={followed} project={project} />
        )}
        <Panel title="Sessions of this room" flush>
          {past.error && !past.data ? (
            <ErrorState error={past.error} compact onRetry={() => past.refetch()} />
          ) : past.isPending ? (
            <Skeleton rows={4} />
          ) : sessions.length === 0 ? (
            <p className="px-4 py-3 text-ink-2">None yet.</p>
          ) : (
            <ul className="divide-y divide-line">
              {sessions.map((session) => (
                <li key={session.sid}>
                  <Link
                    to="/sessions/$sid"
                    params={{ sid: session.sid }}
                    search={{ project: session.project }}
                    className="num flex flex-wrap items-baseline justify-between gap-x-4 px-4 py-2 hover:bg-hover"
                  >
                    <span className="font-medium">{fullTime(session.startedAt).replace(/:\d\d\.\d+$/, '')}</span>
                    <span className="text-xs text-ink-2">{summary(session)}</span>
                  </Link>
                </li>
              ))}
            </ul>
          )}
        </Panel>
      </div>
    </>
  );
}

function summary(session: Session): string {
  const people = plural(session.participantCount, 'person', 'people');
  return session.endedAt === null
    ? `${people}, end not known`
    : `${people}, ${duration(session.endedAt - session.startedAt)}`;
}

function LastSession({ sid, project }: { sid: string; project: string | undefined }) {
  const { data, error, refetch } = useSession(sid, { project });
  if (!data) {
    return (
      <Panel flush>
        {error ? <ErrorState error={error} compact onRetry={() => refetch()} /> : <Skeleton rows={4} />}
      </Panel>
    );
  }
  const { session } = data;
  return (
    <Panel title="The last session">
      <p className="flex items-center gap-2 text-[0.9375rem] font-medium">
        <DoorClosed size={16} className="text-ink-3" aria-hidden />
        {session.endedAt === null ? (
          'It is ending'
        ) : (
          <span>
            Ended <Ago at={session.endedAt} />
          </span>
        )}
      </p>
      <dl className="num mt-3 grid grid-cols-[auto_1fr] gap-x-6 gap-y-1">
        {session.endedAt === null ? null : (
          <>
            <dt className="text-ink-3">Lasted</dt>
            <dd>{duration(session.endedAt - session.startedAt)}</dd>
          </>
        )}
        <dt className="text-ink-3">People</dt>
        <dd>
          {plural(session.participantCount, 'person', 'people')}, at most {session.peak} at once
        </dd>
        <dt className="text-ink-3">Published</dt>
        <dd>{session.publisherCount}</dd>
        <dt className="text-ink-3">Recorded</dt>
        <dd>{session.recorded ? 'yes' : 'no'}</dd>
        {session.endReason ? (
          <>
            <dt className="text-ink-3">Why it ended</dt>
            <dd>{words(session.endReason)}</dd>
          </>
        ) : null}
      </dl>
      <Link
        to="/sessions/$sid"
        params={{ sid }}
        search={{ project: session.project }}
        className={buttonClass('outline', 'mt-4')}
      >
        Open its timeline
      </Link>
    </Panel>
  );
}
