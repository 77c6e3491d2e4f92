import { type Session, useMe, useSessions } from '@roomwatch/react';
import { getRouteApi, Link } from '@tanstack/react-router';
import { CircleDot, X } from 'lucide-react';
import { memo, type ReactNode, useRef, useState } from 'react';
import { TypedInput } from '@/components/typed-input';
import { count, duration, plural, words } from '@/lib/format';
import { useShortcuts } from '@/shell/shortcuts';
import { Badge } from '@/ui/badge';
import { Button, IconButton } from '@/ui/button';
import { cx } from '@/ui/cx';
import { Input, Select } from '@/ui/field';
import { PageHeader, Panel } from '@/ui/panel';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { Age, DayTime } from '@/ui/time';

const PAGE = 50;
const HOUR_MS = 3_600_000;
const spans = [
  { name: 'Last hour', millis: HOUR_MS },
  { name: 'Last 24 hours', millis: 24 * HOUR_MS },
  { name: 'Last 7 days', millis: 168 * HOUR_MS },
  { name: 'Last 30 days', millis: 720 * HOUR_MS },
];

const GRID = 'grid grid-cols-[minmax(0,1fr)_10rem_7rem_5rem_5rem_6rem_10rem] items-center gap-x-3 px-4';

const route = getRouteApi('/shell/sessions');

/** Every life of a room, the newest first: what was, and what still is. */
export function Sessions() {
  const search = route.useSearch();
  const { room, identity, project, from, to } = search;
  const navigate = route.useNavigate();
  const projects = useMe().data?.projects ?? [];
  const roomInput = useRef<HTMLInputElement>(null);
  const { data, error, hasNextPage, isFetchingNextPage, fetchNextPage, refetch } = useSessions({
    ...search,
    limit: PAGE,
  });
  useShortcuts('Sessions', [{ keys: '/', label: 'Search by room', run: () => roomInput.current?.focus() }]);

  const set = (next: Partial<typeof search>) =>
    navigate({ search: (before) => ({ ...before, ...next }), replace: true, resetScroll: false });
  const [between, setBetween] = useState(false);
  const dated = between || from !== undefined || to !== undefined;
  const clear = () => {
    setBetween(false);
    navigate({ search: {}, replace: true });
  };
  const filtered = Object.values(search).some((value) => value !== undefined);
  const sessions = data?.pages.flatMap((page) => page.sessions);

  return (
    <>
      <PageHeader title="Sessions">One life of a room, from its start to its end.</PageHeader>
      <div role="search" aria-label="Filter sessions" className="mb-3 flex flex-wrap items-center gap-2">
        <TypedInput
          inputRef={roomInput}
          label="Room, by its exact name"
          placeholder="Room"
          hotkey="/"
          className="w-52 max-sm:w-[calc(50%-0.25rem)]"
          value={room ?? ''}
          onType={(value) => set({ room: value || undefined })}
        />
        <TypedInput
          label="Identity of somebody who was there"
          placeholder="Identity"
          className="w-44 max-sm:w-[calc(50%-0.25rem)]"
          value={identity ?? ''}
          onType={(value) => set({ identity: value || undefined })}
        />
        <Select
          aria-label="When"
          value=""
          onChange={(event) => {
            setBetween(true);
            const span = spans[Number(event.target.value)];
            if (span) set({ from: Date.now() - span.millis, to: undefined });
          }}
        >
          <option value="" disabled>
            When
          </option>
          {spans.map(({ name }, index) => (
            <option key={name} value={index}>
              {name}
            </option>
          ))}
          <option value="between">Between…</option>
        </Select>
        {dated ? (
          <span className="flex items-center gap-2 max-sm:w-full max-sm:flex-col max-sm:items-stretch">
            <TimeInput label="From" value={from} onChange={(at) => set({ from: at })} />
            <span aria-hidden className="text-ink-3 max-sm:hidden">
              to
            </span>
            <TimeInput label="To" value={to} onChange={(at) => set({ to: at })} />
          </span>
        ) : null}
        {projects.length > 1 ? (
          <Select
            aria-label="Project"
            value={project ?? ''}
            onChange={(event) => set({ project: event.target.value || undefined })}
          >
            <option value="">All projects</option>
            {projects.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </Select>
        ) : null}
        {filtered || between ? (
          <IconButton label="Clear the filters" onClick={clear}>
            <X size={14} />
          </IconButton>
        ) : null}
      </div>

      <Panel flush className="overflow-hidden">
        {!sessions ? (
          error ? (
            <ErrorState error={error} onRetry={() => refetch()} />
          ) : (
            <Skeleton rows={10} />
          )
        ) : sessions.length === 0 ? (
          <Empty
            title={filtered ? 'No session matches' : 'No session yet'}
            action={filtered ? <Button onClick={clear}>Show all</Button> : undefined}
          >
            {filtered
              ? 'Names and identities are matched exactly. A session counts if any part of it lies in the time you chose.'
              : 'A session begins when the first one joins a room, and stays here after it has ended.'}
          </Empty>
        ) : (
          <>
            <SessionTable sessions={sessions} showProject={projects.length > 1 && project === undefined} />
            <div className="flex min-h-11 flex-wrap items-center justify-center gap-3 border-t border-line px-4 py-1.5 text-xs text-ink-3">
              {error ? <span className="text-bad">{error.message}</span> : null}
              <span className="num">
                {plural(sessions.length, 'session')} shown{hasNextPage ? '' : ' · that is all'}
              </span>
              {hasNextPage ? (
                <Button className="h-7" disabled={isFetchingNextPage} onClick={() => fetchNextPage()}>
                  {isFetchingNextPage ? 'Loading…' : 'Older sessions'}
                </Button>
              ) : null}
            </div>
          </>
        )}
      </Panel>
    </>
  );
}

const SessionTable = memo(function SessionTable({
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
          <Head right>Lasted</Head>
          <Head right>People</Head>
          <Head right wide>
            At once
          </Head>
          <Head right wide>
            Publishing
          </Head>
          <Head wide className="pl-4">
            Ended by
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
          // The whole row is the link's: a click anywhere opens the session, and Tab stops once a row.
          className="min-w-0 truncate font-medium after:absolute after:inset-0 focus-visible:outline-none focus-visible:after:outline-2 focus-visible:after:outline-offset-[-2px] focus-visible:after:outline-accent"
        >
          {session.room}
        </Link>
        {live ? <LiveMark /> : null}
        {session.recorded ? (
          <span className="inline-flex shrink-0 items-center gap-1 text-xs text-ink-2">
            <CircleDot size={12} aria-hidden /> <span className="max-md:sr-only">recorded</span>
          </span>
        ) : null}
        {session.source === 'reconcile' ? (
          <Badge title="Its start came by no webhook: Roomwatch found it by asking LiveKit">reconciled</Badge>
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
          <span className="text-ink-3">still going on</span>
        ) : session.endReason ? (
          words(session.endReason)
        ) : (
          <span className="text-ink-3">not told</span>
        )}
      </div>
    </div>
  );
});

/** A room that lives: shape, word and colour. */
export const LiveMark = () => (
  <span className="inline-flex shrink-0 items-center gap-1.5 text-xs text-good">
    <span aria-hidden className="size-2 rounded-full bg-good-fill" /> live
  </span>
);

/** Unix milliseconds in the reader's own time. */
function TimeInput({
  label,
  value,
  onChange,
}: {
  label: string;
  value: number | undefined;
  onChange: (at: number | undefined) => void;
}) {
  const local =
    value === undefined
      ? ''
      : new Date(value - new Date(value).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  return (
    <span className="w-46 max-sm:w-full">
      <Input
        // Typing a date passes through dates that nobody meant: only what is finished is taken.
        key={local}
        type="datetime-local"
        aria-label={label}
        defaultValue={local}
        onBlur={(event) => {
          if (event.target.value === local) return;
          const at = new Date(event.target.value).getTime();
          onChange(Number.isNaN(at) ? undefined : at);
        }}
        onKeyDown={(event) => {
          if (event.key === 'Enter') event.currentTarget.blur();
        }}
      />
    </span>
  );
}
