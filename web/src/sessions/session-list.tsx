// biome-ignore-all lint/a11y/useSemanticElements: a table row cannot have a grid layout, so the roles say what the rows are
// biome-ignore-all lint/a11y/useFocusableInteractive: each row has one link, which has the focus
import type { Session } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import { memo, type ReactNode } from 'react';
import { Badge } from '@/ui/badge';
import { cx } from '@/ui/cx';
import { count, duration } from '@/ui/format';
import { Age, DayTime } from '@/ui/time';
import { endWords } from './end-words';
import { LiveMark } from './live-mark';
import { RecordingMark } from './recording-mark';

const GRID = 'grid grid-cols-[minmax(0,1fr)_10rem_7rem_5rem_5rem_6rem_10rem] items-center gap-x-3 px-4';

/** Sessions as rows. On a narrow screen each row has two lines. */
export const SessionList = memo(function SessionList({
  sessions,
  showProject,
}: {
  sessions: Session[];
  showProject: boolean;
}) {
  return (
    <div role="table" aria-label="Sessions">
      <div role="rowgroup" className="border-b border-line max-lg:hidden">
        <div role="row" className={cx(GRID, 'h-9 text-xs text-ink-2')}>
          <Head>Room</Head>
          <Head>Started</Head>
          <Head right>Duration</Head>
          <Head right>People</Head>
          <Head right wide>
            Peak
          </Head>
          <Head right wide>
            Publishers
          </Head>
          <Head wide className="pl-4">
            End reason
          </Head>
        </div>
      </div>
      <div role="rowgroup" className="divide-y divide-line">
        {sessions.map((session) => (
          <Row key={session.sid} session={session} showProject={showProject} />
        ))}
      </div>
    </div>
  );
});

const Head = ({
  children,
  right,
  wide,
  className,
}: {
  children: ReactNode;
  right?: boolean;
  wide?: boolean;
  className?: string;
}) => (
  <div role="columnheader" className={cx(right && 'text-right', wide && 'max-lg:hidden', className)}>
    {children}
  </div>
);

const Row = memo(function Row({ session, showProject }: { session: Session; showProject: boolean }) {
  const lasted =
    session.endedAt === null ? <Age since={session.startedAt} /> : duration(session.endedAt - session.startedAt);
  const live = session.endedAt === null;
  return (
    <div
      role="row"
      className={cx(
        GRID,
        'relative h-10 hover:bg-hover max-lg:flex max-lg:h-14 max-lg:flex-wrap max-lg:content-center max-lg:gap-y-0.5',
      )}
    >
      <div role="cell" className="flex min-w-0 items-center gap-2 max-lg:w-full">
        <Link
          to="/sessions/$sid"
          params={{ sid: session.sid }}
          search={{ project: session.project }}
          preload={false}
          // The link covers the whole row: a click anywhere opens the session, and Tab stops once a row.
          className="min-w-0 truncate font-medium after:absolute after:inset-0 focus-visible:outline-none focus-visible:after:outline-2 focus-visible:after:outline-offset-[-2px] focus-visible:after:outline-accent"
        >
          {session.room}
        </Link>
        {live ? <LiveMark /> : null}
        <RecordingMark session={session} />
        {session.source === 'reconcile' ? (
          <Badge title="Found by polling LiveKit. No webhook arrived for its start.">detected by sync</Badge>
        ) : null}
        {showProject ? <span className="truncate text-xs text-ink-3">{session.project}</span> : null}
      </div>
      <div role="cell" className="num text-ink-2 max-lg:text-xs">
        <DayTime at={session.startedAt} />
      </div>
      <div role="cell" className="num text-right text-ink-2 max-lg:text-xs">
        {lasted}
      </div>
      <div role="cell" className="num text-right max-lg:ml-auto max-lg:text-xs">
        {count(session.participantCount)}
        <span className="lg:sr-only"> {session.participantCount === 1 ? 'person' : 'people'}</span>
      </div>
      <div role="cell" className="num text-right text-ink-2 max-lg:hidden">
        {count(session.peak)}
      </div>
      <div role="cell" className="num text-right text-ink-2 max-lg:hidden">
        {count(session.publisherCount)}
      </div>
      <div role="cell" className="truncate pl-4 text-ink-2 max-lg:hidden">
        {live ? (
          <span className="text-ink-3">in progress</span>
        ) : (
          (endWords(session) ?? <span className="text-ink-3">unknown</span>)
        )}
      </div>
    </div>
  );
});
