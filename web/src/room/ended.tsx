import { type Session, useSession, useSessions } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import { DoorClosed } from 'lucide-react';
import { endWords } from '@/sessions/end-words';
import { RecordingMark, recordingWords } from '@/sessions/recording-mark';
import { buttonClass } from '@/ui/button';
import { duration, fullTime, plural } from '@/ui/format';
import { PageHeader, Panel } from '@/ui/panel';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { Ago } from '@/ui/time';

const SESSIONS_MAX = 8;
/** A room that is not live: its last session and its earlier ones. The page shows the room again with the next join. */
export function Ended({ name, project, sid }: { name: string; project: string | undefined; sid: string | undefined }) {
  const past = useSessions({ room: name, project, limit: SESSIONS_MAX });
  const sessions = past.data?.pages.flatMap((page) => page.sessions) ?? [];
  const followed = sid ?? sessions[0]?.sid;
  return (
    <>
      <PageHeader title={name}>Not live. Updates when someone joins.</PageHeader>
      <div className="grid items-start gap-4 lg:grid-cols-2">
        {followed === undefined ? (
          past.isPending ? (
            <Panel flush>
              <Skeleton rows={3} />
            </Panel>
          ) : past.error ? null : (
            <Panel>
              <Empty icon={<DoorClosed size={22} />} title="No sessions of this room">
                Roomwatch has no session of {name}, or you do not have access to it.
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
                    <span className="font-medium">{fullTime(session.startedAt).replace(/:\d\d\.\d+/, '')}</span>
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
    ? `${people}, end unknown`
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
    <Panel title="Last session">
      <p className="flex items-center gap-2 text-[0.9375rem] font-medium">
        <DoorClosed size={16} className="text-ink-3" aria-hidden />
        {session.endedAt === null ? (
          'Ending…'
        ) : (
          <span>
            Ended <Ago at={session.endedAt} />
          </span>
        )}
      </p>
      <dl className="num mt-3 grid grid-cols-[auto_1fr] gap-x-6 gap-y-1">
        {session.endedAt === null ? null : (
          <>
            <dt className="text-ink-3">Duration</dt>
            <dd>{duration(session.endedAt - session.startedAt)}</dd>
          </>
        )}
        <dt className="text-ink-3">People</dt>
        <dd>
          {plural(session.participantCount, 'person', 'people')}, peak {session.peak}
        </dd>
        <dt className="text-ink-3">Publishers</dt>
        <dd>{session.publisherCount}</dd>
        <dt className="text-ink-3">Recording</dt>
        <dd>
          <RecordingMark session={session} /> {recordingWords(session) === null ? 'no' : null}
        </dd>
        {session.endedAt === null ? null : (
          <>
            <dt className="text-ink-3">End reason</dt>
            <dd>{endWords(session) ?? 'unknown'}</dd>
          </>
        )}
      </dl>
      <Link
        to="/sessions/$sid"
        params={{ sid }}
        search={{ project: session.project }}
        className={buttonClass('outline', 'mt-4')}
      >
        Open timeline
      </Link>
    </Panel>
  );
}
