// biome-ignore-all lint/a11y/useSemanticElements: a table row cannot have a grid layout, so the roles say what the rows are
// biome-ignore-all lint/a11y/useFocusableInteractive: each row has one link, which has the focus
import type { Session } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import { ArrowDown, ArrowUp } from 'lucide-react';
import { memo } from 'react';
import { Badge } from '@/ui/badge';
import { cx } from '@/ui/cx';
import { count, duration } from '@/ui/format';
import { Age, DayTime } from '@/ui/time';
import { LiveMark } from './live-mark';
import { RecordingMark } from './recording-mark';
import type { SessionColumn } from './session-sort';
import { TroubleMarks } from './trouble-marks';

const GRID = 'grid grid-cols-[minmax(0,1fr)_8rem_6rem_4.5rem_4.5rem_minmax(8rem,15rem)_6rem] items-center gap-x-3 px-4';

const columns: { sort: SessionColumn | null; title: string; number?: boolean }[] = [
  { sort: null, title: 'Room' },
  { sort: 'started', title: 'Started' },
  { sort: 'duration', title: 'Lasted', number: true },
  { sort: 'participants', title: 'People', number: true },
  { sort: 'agents', title: 'Agents', number: true },
  { sort: 'trouble', title: 'Trouble' },
  { sort: 'minutes', title: 'Minutes', number: true },
];

/** Sessions as rows, with a head that sorts them. On a narrow screen each row has two or three lines. */
export const SessionList = memo(function SessionList({
  sessions,
  showProject,
  sort,
  desc,
  onSort,
}: {
  sessions: Session[];
  showProject: boolean;
  sort: SessionColumn;
  desc: boolean;
  onSort: (sort: SessionColumn) => void;
}) {
  return (
    <div role="table" aria-label="Sessions">
      <div role="rowgroup" className="border-b border-line max-lg:hidden">
        <div role="row" className={cx(GRID, 'h-9 text-xs text-ink-2')}>
          {columns.map((column) => (
            <Head
              key={column.title}
              {...column}
              sorted={column.sort === sort ? (desc ? 'desc' : 'asc') : null}
              onSort={onSort}
            />
          ))}
        </div>
      </div>
      <div role="rowgroup" className="divide-y divide-line">
        {sessions.map((session) => (
          <Row key={`${session.project} ${session.sid}`} session={session} showProject={showProject} />
        ))}
      </div>
    </div>
  );
});

function Head({
  sort,
  title,
  number,
  sorted,
  onSort,
}: (typeof columns)[number] & { sorted: 'asc' | 'desc' | null; onSort: (sort: SessionColumn) => void }) {
  const Arrow = sorted === 'asc' ? ArrowUp : ArrowDown;
  return (
    <div
      role="columnheader"
      aria-sort={sorted === null ? undefined : sorted === 'asc' ? 'ascending' : 'descending'}
      className={cx(number && 'text-right', sort === 'trouble' && 'pl-4')}
    >
      {sort === null ? (
        title
      ) : (
        <button
          type="button"
          className={cx(
            'inline-flex h-7 items-center gap-1 hover:text-ink',
            number && 'flex-row-reverse',
            sorted !== null && 'font-medium text-ink',
          )}
          onClick={() => onSort(sort)}
        >
          {title}
          {sorted === null ? null : <Arrow size={12} aria-hidden />}
        </button>
      )}
    </div>
  );
}

const Row = memo(function Row({ session, showProject }: { session: Session; showProject: boolean }) {
  const lasted =
    session.endedAt === null ? <Age since={session.startedAt} /> : duration(session.endedAt - session.startedAt);
  const live = session.endedAt === null;
  return (
    <div
      role="row"
      className={cx(
        GRID,
        'relative min-h-10 hover:bg-hover max-lg:flex max-lg:min-h-14 max-lg:flex-wrap max-lg:content-center max-lg:gap-y-0.5 max-lg:py-2',
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
        {session.failedRecordings > 0 ? null : <RecordingMark session={session} />}
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
        {session.agentCount ? count(session.agentCount) : <span className="text-ink-3">0</span>}
      </div>
      <div
        role="cell"
        className="flex flex-wrap gap-x-3 gap-y-0.5 py-1 pl-4 empty:hidden max-lg:w-full max-lg:py-0 max-lg:pl-0 lg:empty:flex"
      >
        <TroubleMarks session={session} />
      </div>
      <div role="cell" className="num text-right text-ink-2 max-lg:hidden">
        {minutesText(session.participantMinutes)}
      </div>
    </div>
  );
});

/** "1,204", or "0.5" below ten. */
const minutesText = (value: number) => count(value >= 10 ? Math.round(value) : Math.round(value * 10) / 10);
