import { seqOf, useEvents, useMe, useRoomwatch } from '@roomwatch/react';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { ArrowUp, Crosshair, Download, Pause, Play } from 'lucide-react';
import { useCallback, useEffect, useRef, useState } from 'react';
import { partFile } from '@/page-file';
import { useConnectionStatus } from '@/shell/connection-status';
import { useShortcuts } from '@/shell/shortcuts';
import { Button, buttonClass } from '@/ui/button';
import { codeOf } from '@/ui/errors';
import { clockTime, count, fullTime } from '@/ui/format';
import { PageHeader, Panel } from '@/ui/panel';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { EventFilters } from './event-filters';
import { EventList } from './event-list';
import { type EventSearch, keepOf, queryOf } from './event-search';
import { noteNames } from './names';
import { cursorOfEvent, type Wanted } from './seek';

const GoToEvent = partFile(async () => (await import('./go-to-event')).GoToEvent);
const ExportEvents = partFile(async () => (await import('./export-dialog')).ExportEvents);

/** Scroll position beyond which the user is reading: the list pauses. */
const READING_PX = 4;

const route = getRouteApi('/shell/events');

/** Events page: the log as a list that follows the stream. */
export function Events() {
  const { at, t, sid, ...filter } = route.useSearch();
  const navigate = route.useNavigate();
  const room = useRef<HTMLInputElement>(null);
  const [dialog, setDialog] = useState<'go' | 'export' | null>(null);
  const set = (next: Partial<ReturnType<typeof route.useSearch>>, replace = true) =>
    navigate({ search: (before) => ({ ...before, ...next }), replace, resetScroll: false });
  useShortcuts('Events', [
    { keys: '/', label: 'Filter by room', run: () => room.current?.focus() },
    { keys: 'c', label: 'Jump to a time or a cursor', run: () => setDialog('go') },
  ]);

  return (
    <>
      <PageHeader
        title="Events"
        actions={
          <>
            <Button onClick={() => setDialog('go')}>
              <Crosshair size={14} aria-hidden /> Jump to time
            </Button>
            <Button onClick={() => setDialog('export')}>
              <Download size={14} aria-hidden /> Export
            </Button>
          </>
        }
      />
      <EventFilters filter={filter} roomInput={room} onChange={(next) => set(next)} />
      {t === undefined ? (
        <Tail
          key={JSON.stringify([filter, at])}
          filter={filter}
          at={at}
          onAt={(cursor) => set({ at: cursor }, false)}
        />
      ) : (
        <AtTime
          wanted={{ at: t, sid, room: filter.room, project: filter.project }}
          onFound={(cursor) => set({ t: undefined, sid: undefined, at: cursor })}
        />
      )}
      {dialog === 'go' ? (
        <GoToEvent
          onClose={() => setDialog(null)}
          onGo={(cursor) => {
            setDialog(null);
            set({ at: cursor, t: undefined, sid: undefined }, false);
          }}
        />
      ) : null}
      {dialog === 'export' ? <ExportEvents filter={filter} onClose={() => setDialog(null)} /> : null}
    </>
  );
}

/** Looks up the event at a time. The address then has its cursor, which means the same to every reader. */
function AtTime({ wanted, onFound }: { wanted: Wanted; onFound: (cursor: string | undefined) => void }) {
  const { client } = useRoomwatch();
  const { data, error, refetch } = useQuery({
    queryKey: ['cursor at', wanted],
    queryFn: async ({ signal }) => ({ cursor: await cursorOfEvent(client, wanted, signal) }),
    gcTime: 0,
  });
  const found = useRef(onFound);
  found.current = onFound;
  useEffect(() => {
    if (data) found.current(data.cursor ?? undefined);
  }, [data]);
  return (
    <Panel>
      {error ? (
        <ErrorState error={error} onRetry={() => refetch()} />
      ) : (
        <Empty title={`Searching ${fullTime(wanted.at)}`}>The first event at that time is looked up in the log.</Empty>
      )}
    </Panel>
  );
}

const gone: Record<string, { title: string; text: string }> = {
  expired: {
    title: 'This event has expired',
    text: 'It was removed by the retention. Its session may still be under Sessions.',
  },
  unknown_epoch: {
    title: 'This link is from another database',
    text: 'The event log was restored or recreated.',
  },
  ahead: { title: 'This event does not exist yet', text: 'The cursor is after the newest event.' },
};

function Tail({ filter, at, onAt }: { filter: EventSearch; at?: string; onAt: (cursor: string | undefined) => void }) {
  const status = useConnectionStatus();
  const projects = useMe().data?.projects ?? [];
  const scroller = useRef<HTMLDivElement>(null);
  /**
   * True if the list was paused by scrolling or clicking: scrolling back to the top continues it. The button does not.
   */
  const byReading = useRef(false);
  const tail = useEvents({
    ...queryOf(filter),
    keep: keepOf(filter),
    at,
    onPage: (page, place) => noteNames(page, place === 'older'),
  });
  const { events, isLoading, following, waiting, uncounted, older, newer, scanned, error } = tail;

  const pauseList = tail.pause;
  const read = useCallback(() => {
    if (!following) return;
    byReading.current = true;
    pauseList();
  }, [following, pauseList]);
  const follow = () => {
    if (at !== undefined) return onAt(undefined);
    byReading.current = false;
    tail.follow();
    scroller.current?.scrollTo({ top: 0 });
  };
  const pause = () => {
    byReading.current = false;
    tail.pause();
  };
  useShortcuts('Events', [
    { keys: 'f', label: following ? 'Pause' : 'Follow', run: () => (following ? pause() : follow()) },
  ]);

  const code = codeOf(error);
  const lost = code === null ? undefined : gone[code];
  const filtered =
    filter.room !== undefined ||
    filter.type !== undefined ||
    filter.participant !== undefined ||
    filter.project !== undefined;
  const live = status === 'live' || status === 'catching_up';
  const newest = events[0];

  return (
    <Panel flush className="overflow-hidden">
      <div className="flex min-h-10 flex-wrap items-center gap-x-3 gap-y-1 border-b border-line px-3 py-1">
        <Button
          variant={following ? 'outline' : 'solid'}
          className="h-7 w-22"
          onClick={() => (following ? pause() : follow())}
        >
          {following ? <Pause size={13} aria-hidden /> : <Play size={13} aria-hidden />}
          {following ? 'Pause' : 'Follow'}
        </Button>
        <span className="flex min-w-0 items-center gap-2 text-ink-2">
          <ListStatus
            following={following}
            live={live}
            connecting={status === 'connecting'}
            at={at}
            newest={newest?.timestamp}
          />
        </span>
        {(waiting > 0 || uncounted) && !following ? (
          <button
            type="button"
            onClick={follow}
            className="num ml-auto inline-flex h-7 items-center gap-1.5 rounded-full bg-accent-soft px-3 text-xs font-medium text-accent hover:underline"
          >
            <ArrowUp size={13} aria-hidden />{' '}
            {uncounted ? (waiting > 0 ? `More than ${count(waiting)} new` : 'New events') : `${count(waiting)} new`}
          </button>
        ) : null}
      </div>
      <div
        ref={scroller}
        className="relative h-[calc(100dvh-15.5rem)] min-h-72 overflow-y-auto overscroll-contain [overflow-anchor:none] max-[90rem]:h-[calc(100dvh-18rem)] max-md:h-[calc(100dvh-20.75rem)] max-sm:h-[calc(100dvh-23rem)]"
        onScroll={(event) => {
          const { scrollTop } = event.currentTarget;
          if (scrollTop > READING_PX) read();
          else if (byReading.current && !scroller.current?.contains(document.activeElement)) follow();
        }}
      >
        {lost ? (
          <Empty title={lost.title} action={<Button onClick={() => onAt(undefined)}>Show the newest events</Button>}>
            {lost.text}
          </Empty>
        ) : error ? (
          <ErrorState error={error} onRetry={tail.reload} />
        ) : isLoading ? (
          <Skeleton rows={12} />
        ) : events.length === 0 && older === 'end' ? (
          <Empty
            title={filtered ? 'No matching events yet' : 'No events yet'}
            action={
              filtered ? undefined : (
                <Link to="/settings" className={buttonClass('outline')}>
                  Check the webhook
                </Link>
              )
            }
          >
            {filtered
              ? 'New ones appear here.'
              : 'New events appear here. If people are meeting now, LiveKit does not send webhooks to Roomwatch yet.'}
          </Empty>
        ) : (
          <EventList
            rows={events}
            older={older}
            newer={newer}
            scanned={scanned}
            at={at}
            showProject={projects.length > 1 && filter.project === undefined}
            filter={filter}
            scroller={scroller}
            waiting={waiting}
            onOlder={tail.loadOlder}
            onNewer={tail.loadNewer}
            onRead={read}
            onContinueFrom={onAt}
          />
        )}
      </div>
    </Panel>
  );
}

/** State of the list in words. It is read out when it changes, not with every event. */
function ListStatus({
  following,
  live,
  connecting,
  at,
  newest,
}: {
  following: boolean;
  live: boolean;
  connecting: boolean;
  at: string | undefined;
  newest: number | undefined;
}) {
  const dot = following && live;
  return (
    <>
      <span
        aria-hidden
        className={
          dot ? 'dot breathe size-2 shrink-0 rounded-full bg-good-fill' : 'dot size-2 shrink-0 rounded-[1px] bg-control'
        }
      />
      <span role="status" className="truncate">
        {at !== undefined
          ? `Paused at #${seqOf(at)}`
          : connecting
            ? 'Connecting'
            : !live
              ? 'The stream is down'
              : following
                ? 'Live'
                : 'Paused'}
      </span>
      {!live && newest !== undefined ? <span className="num text-ink-3">· last event {clockTime(newest)}</span> : null}
    </>
  );
}
