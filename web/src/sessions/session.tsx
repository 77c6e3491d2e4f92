import { useSession } from '@roomwatch/react';
import { getRouteApi, Link } from '@tanstack/react-router';
import { ChartGantt, Table2 } from 'lucide-react';
import type { ReactNode } from 'react';
import { Calls } from '@/room/calls';
import { Badge } from '@/ui/badge';
import { buttonClass } from '@/ui/button';
import { Sid } from '@/ui/copy';
import { Crumb } from '@/ui/crumb';
import { cx } from '@/ui/cx';
import { count, duration } from '@/ui/format';
import { PageHeader, Panel } from '@/ui/panel';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { Age, DayTime, useNow } from '@/ui/time';
import { endWords } from './end-words';
import { LiveMark } from './live-mark';
import { SessionTable } from './session-table';
import { SessionTimeline } from './session-timeline';
import { SummaryText } from './summary-text';
import { useCalls } from './use-calls';

/** Time between two moves of the right end of a live session. Every second would redraw a thousand bars for nothing. */
const MOVE_MS = 5_000;

const route = getRouteApi('/shell/sessions/$sid');

/** Session page: participants, their times, and the reasons of their leaves. */
export function SessionPage() {
  const { sid } = route.useParams();
  const { project, view, at, zoom } = route.useSearch();
  const navigate = route.useNavigate();
  const { data, error, refetch } = useSession(sid, { project });
  const now = Math.floor(useNow() / MOVE_MS) * MOVE_MS;
  const calls = useCalls(data);

  if (!data) {
    return (
      <>
        <PageHeader title="Session">
          <Sid>{sid}</Sid>
        </PageHeader>
        <Panel flush>
          {error?.status === 404 ? (
            <Empty
              title="Session not found"
              action={
                <Link to="/sessions" activeOptions={{ exact: true }} className={buttonClass('outline')}>
                  All sessions
                </Link>
              }
            >
              Check the sid. The session may belong to another project, or be older than the retention.
            </Empty>
          ) : error ? (
            <ErrorState error={error} onRetry={() => refetch()} />
          ) : (
            <Skeleton rows={10} />
          )}
        </Panel>
      </>
    );
  }

  const { session } = data;
  const live = session.endedAt === null;
  const endedAt = session.endedAt;
  return (
    <>
      <Crumb to="/sessions" list="Sessions" name={session.room} />
      <PageHeader
        title={session.room}
        actions={
          <>
            {live ? (
              <Link
                to="/rooms/$room"
                params={{ room: session.room }}
                search={{ project: session.project }}
                className={buttonClass('outline')}
              >
                Open room
              </Link>
            ) : null}
            <Link
              to="/events"
              search={{ room: session.room, project: session.project, t: session.startedAt }}
              className={buttonClass('outline')}
            >
              View events
            </Link>
            <Link
              to="/sessions"
              search={{ room: session.room, project: session.project }}
              className={buttonClass('outline')}
            >
              All sessions of this room
            </Link>
          </>
        }
      >
        <span className="flex flex-wrap items-center gap-x-2.5 gap-y-1">
          {live ? <LiveMark /> : <Badge>ended</Badge>}
          <span>{session.project}</span>
          <Sid>{session.sid}</Sid>
          {session.source === 'reconcile' ? (
            <Badge title="Found by polling LiveKit. No webhook arrived for its start.">detected by sync</Badge>
          ) : null}
        </span>
      </PageHeader>

      <SummaryText detail={data} now={now} />

      <dl className="mb-4 grid grid-cols-[repeat(auto-fit,minmax(8.5rem,1fr))] gap-px overflow-hidden rounded-lg border border-line bg-line shadow-card">
        <Fact name="Started">
          <DayTime at={session.startedAt} />
        </Fact>
        <Fact name="Duration">
          {endedAt === null ? <Age since={session.startedAt} /> : duration(endedAt - session.startedAt)}
        </Fact>
        <Fact name="People">{count(session.participantCount)}</Fact>
        <Fact name="Peak participants">{count(session.peak)}</Fact>
        <Fact name="Publishers">{count(session.publisherCount)}</Fact>
        <Fact name="End reason">{live ? 'in progress' : (endWords(session) ?? 'unknown')}</Fact>
      </dl>

      <Panel
        flush
        className="overflow-hidden"
        title="Timeline"
        aside={
          <fieldset aria-label="View" className="flex">
            {(['timeline', 'table'] as const).map((one) => (
              <button
                key={one}
                type="button"
                aria-pressed={(view ?? 'timeline') === one}
                className={cx(
                  'relative inline-flex h-7 items-center gap-1.5 border px-2.5 font-medium first:rounded-l-md last:-ml-px last:rounded-r-md',
                  (view ?? 'timeline') === one
                    ? 'z-1 border-accent bg-accent-soft text-accent'
                    : 'border-line-strong bg-surface text-ink-2 hover:bg-hover hover:text-ink',
                )}
                onClick={() =>
                  navigate({
                    search: (before) => ({ ...before, view: one === 'table' ? one : undefined }),
                    replace: true,
                    resetScroll: false,
                  })
                }
              >
                {one === 'timeline' ? <ChartGantt size={13} aria-hidden /> : <Table2 size={13} aria-hidden />}
                {one === 'timeline' ? 'Timeline' : 'Table'}
              </button>
            ))}
          </fieldset>
        }
      >
        {data.participations.length === 0 && data.egress.length === 0 ? (
          <Empty title="No participants">The room was created and closed without a join.</Empty>
        ) : view === 'table' ? (
          <SessionTable detail={data} now={now} />
        ) : (
          <SessionTimeline
            key={sid}
            detail={data}
            now={now}
            initial={{ moment: at ?? null, zoom: zoom ?? 1 }}
            onView={({ moment, zoom }) =>
              navigate({
                search: (before) => ({ ...before, at: moment ?? undefined, zoom: zoom === 1 ? undefined : zoom }),
                replace: true,
                resetScroll: false,
              })
            }
          />
        )}
      </Panel>
      {calls.length > 0 ? (
        <div className="mt-4 max-w-xl">
          <Calls callers={calls} />
        </div>
      ) : null}
    </>
  );
}

const Fact = ({ name, children }: { name: string; children: ReactNode }) => (
  <div className="bg-surface px-4 py-2.5">
    <dt className="text-xs text-ink-3">{name}</dt>
    <dd className="num mt-0.5 font-medium">{children}</dd>
  </div>
);
