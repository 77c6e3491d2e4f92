// biome-ignore-all lint/a11y/useSemanticElements: a table row cannot have a grid layout, so the roles say what the rows are
// biome-ignore-all lint/a11y/useFocusableInteractive: each row has one link, which has the focus
import type { Room } from '@roomwatch/react';
import { defaultRangeExtractor, useWindowVirtualizer } from '@tanstack/react-virtual';
import { ArrowDown, ArrowUp, Bot, CircleDot, CloudOff, Mic, ScreenShare, Video } from 'lucide-react';
import { memo, type ReactNode, useEffect, useLayoutEffect, useReducer, useRef, useState } from 'react';
import { useShortcuts } from '@/shell/shortcuts';
import { cx } from '@/ui/cx';
import { count, plural } from '@/ui/format';
import { roomHref } from '@/ui/hrefs';
import { PlainLink } from '@/ui/plain-link';
import type { RowOrder } from '@/ui/row-order';
import { Unknown } from '@/ui/states';
import { Age, Ago } from '@/ui/time';
import { useHold } from '@/ui/use-hold';
import { useRowOrder } from '@/ui/use-row-order';
import { trackCount } from './room-list';
import type { RoomSort } from './room-sort';

const ROW_PX = 40;
/** On a phone a row has two lines. */
const ROW_PX_NARROW = 60;
const NARROW = matchMedia('(max-width: 47.99rem)');

const columns: { sort: RoomSort; title: string; number?: boolean }[] = [
  { sort: 'name', title: 'Room' },
  { sort: 'people', title: 'People', number: true },
  { sort: 'publishers', title: 'Publishers', number: true },
  { sort: 'tracks', title: 'Tracks' },
  { sort: 'agents', title: 'Agents', number: true },
  { sort: 'age', title: 'Age', number: true },
  { sort: 'event', title: 'Last event', number: true },
];

const sidOf = (room: Room) => room.sid;

const GRID =
  'grid grid-cols-[minmax(0,1fr)_4.5rem_5.5rem_10.5rem_4rem_6rem_6.5rem] items-center gap-x-3 px-4 max-lg:grid-cols-[minmax(0,1fr)_4.5rem_5rem_5.5rem]';
/** Columns that are hidden on a tablet. */
const WIDE: RoomSort[] = ['tracks', 'agents', 'event'];

function useNarrow() {
  const [narrow, setNarrow] = useState(NARROW.matches);
  useEffect(() => {
    const changed = () => setNarrow(NARROW.matches);
    NARROW.addEventListener('change', changed);
    return () => NARROW.removeEventListener('change', changed);
  }, []);
  return narrow;
}

/**
 * Table of live rooms. Only the rows in view are in the page, so ten thousand cost as much as thirty. New and ended
 * rooms are tinted. No row moves while the pointer or the focus is in the table.
 */
export function RoomsTable({
  rooms,
  all,
  sort,
  desc,
  filterKey,
  showProject,
  onSort,
  onOpen,
}: {
  /** Rooms that match the filter, in order. */
  rooms: Room[];
  /** Every live room by sid: a row that no longer matches keeps its numbers while the table is held. */
  all: ReadonlyMap<string, Room>;
  sort: RoomSort;
  desc: boolean;
  /** Changes with the filter: then the order is computed anew, without tints. */
  filterKey: string;
  showProject: boolean;
  onSort: (sort: RoomSort) => void;
  onOpen: (room: Room) => void;
}) {
  const narrow = useNarrow();
  const { held, bind } = useHold();
  const [released, release] = useReducer((n: number) => n + 1, 0);
  const [active, setActive] = useState<string | null>(null);
  const body = bind.ref;

  const { order, find } = useRowOrder(rooms, all, sidOf, `${filterKey} ${sort} ${desc} ${released}`, held);
  const [offset, setOffset] = useState(0);
  useLayoutEffect(() => {
    const { current } = body;
    setOffset(current?.offsetTop ?? 0);
  }, [body]);

  const focusDue = useRef(false);

  const activeIndex = active === null ? -1 : order.ids.indexOf(active);
  const rows = useWindowVirtualizer({
    count: order.ids.length,
    estimateSize: () => (narrow ? ROW_PX_NARROW : ROW_PX),
    overscan: 4,
    scrollMargin: offset,
    // The row with the focus stays in the page while scrolling, so that the focus is not lost.
    rangeExtractor: (range) => {
      const visible = defaultRangeExtractor(range);
      return activeIndex < 0 || visible.includes(activeIndex)
        ? visible
        : [...visible, activeIndex].sort((a, b) => a - b);
    },
    getItemKey: (index) => order.ids[index] ?? index,
    // The top bar and the head of the table cover the page.
    scrollPaddingStart: 96,
    scrollPaddingEnd: 24,
  });
  useEffect(() => {
    if (narrow !== undefined) rows.measure();
  }, [narrow, rows]);

  const move = (step: number) => {
    const to = Math.min(Math.max(activeIndex + step, 0), order.ids.length - 1);
    const id = order.ids[to];
    if (id === undefined) return;
    setActive(id);
    focusDue.current = true;
    rows.scrollToIndex(to);
  };
  useShortcuts('Rooms', [
    { keys: 'j', label: 'Next room', run: () => move(1) },
    { keys: 'k', label: 'Previous room', run: () => move(-1) },
    {
      keys: 'Enter',
      label: 'Open room',
      run: () => {
        const room = active === null ? undefined : all.get(active);
        if (room) onOpen(room);
      },
    },
  ]);
  // The focus follows the keys, so that the marked row is read out and opened by Enter. A row that was out of view is
  // in the page one render later.
  useEffect(() => {
    if (!focusDue.current || active === null) return;
    const link = body.current?.querySelector<HTMLElement>(`[data-sid="${CSS.escape(active)}"]`);
    if (!link) return;
    focusDue.current = false;
    link.focus({ preventScroll: true });
  });

  return (
    <div
      role="table"
      aria-label="Live rooms"
      aria-rowcount={order.ids.length + 1}
      className="rounded-lg border border-line bg-surface shadow-card"
    >
      <div role="rowgroup" className="sticky top-13 z-10 rounded-t-lg border-line bg-surface md:border-b">
        <div role="row" aria-rowindex={1} className={cx(GRID, 'h-9 text-xs text-ink-2 max-md:hidden')}>
          {columns.map((column) => (
            <div
              key={column.sort}
              role="columnheader"
              aria-sort={column.sort !== sort ? undefined : desc ? 'descending' : 'ascending'}
              className={cx(
                column.number && 'text-right',
                WIDE.includes(column.sort) && 'max-lg:hidden',
                column.sort === 'tracks' && 'pl-4',
              )}
            >
              <button
                type="button"
                className={cx(
                  'inline-flex items-center gap-1 hover:text-ink',
                  column.sort === sort && 'font-medium text-ink',
                )}
                onClick={() => onSort(column.sort)}
              >
                {column.title}
                {column.sort === sort ? desc ? <ArrowDown size={12} /> : <ArrowUp size={12} /> : null}
              </button>
            </div>
          ))}
        </div>
      </div>
      <HeldNotice order={order} held={held} onRelease={release} />
      <div
        role="rowgroup"
        className="relative"
        style={{ height: rows.getTotalSize() }}
        {...bind}
        onFocus={(event) => {
          bind.onFocus();
          setActive(event.target.dataset.sid ?? null);
        }}
      >
        {rows.getVirtualItems().map((item) => {
          const id = order.ids[item.index];
          const room = id === undefined ? undefined : find(id);
          if (!id || !room) return null;
          return (
            <div
              key={id}
              role="row"
              aria-rowindex={item.index + 2}
              className={cx(
                'absolute inset-x-0 top-0 border-b border-line last:border-b-0',
                order.left.has(id) ? 'row-leave' : order.entered.has(id) && 'row-enter',
              )}
              style={{ height: item.size, transform: `translateY(${item.start - offset}px)` }}
            >
              <Row room={room} ended={!all.has(id)} narrow={narrow} showProject={showProject} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

/**
 * Notice that the table is held, with a button that releases it. It floats: a line in the table would move the rows.
 */
function HeldNotice({ order, held, onRelease }: { order: RowOrder; held: boolean; onRelease: () => void }) {
  if (!held || (order.waiting === 0 && order.left.size === 0)) return null;
  const parts = [
    order.waiting > 0 ? `${count(order.waiting)} new` : null,
    order.left.size > 0 ? `${count(order.left.size)} gone` : null,
  ];
  return (
    <div className="pop-in pointer-events-none fixed inset-x-0 bottom-5 z-20 flex justify-center px-4 max-md:bottom-18 md:pl-56">
      <button
        type="button"
        className="num pointer-events-auto h-8 rounded-full bg-solid px-4 text-xs text-on-solid shadow-pop"
        onClick={onRelease}
      >
        {parts.filter(Boolean).join(', ')} · paused while you hover or focus ·{' '}
        <span className="font-medium underline">show now</span>
      </button>
    </div>
  );
}

const Row = memo(function Row({
  room,
  ended,
  narrow,
  showProject,
}: {
  room: Room;
  ended: boolean;
  narrow: boolean;
  showProject: boolean;
}) {
  const tracks = trackCount(room);
  const name = (
    <PlainLink
      href={roomHref(room.name, { project: room.project, sid: ended ? room.sid : undefined })}
      data-sid={room.sid}
      // The link covers the whole row: a click anywhere opens the room, and Tab stops once a row.
      className="min-w-0 truncate font-medium outline-offset-[-2px] after:absolute after:inset-0 focus-visible:outline-none focus-visible:after:outline-2 focus-visible:after:outline-offset-[-2px] focus-visible:after:outline-accent"
    >
      {room.name}
    </PlainLink>
  );
  const marks = (
    <>
      {room.recording ? (
        <span className="inline-flex items-center gap-1 text-xs text-bad">
          <CircleDot size={12} aria-hidden /> rec
        </span>
      ) : null}
      {room.stale ? (
        <span
          className="inline-flex items-center gap-1 text-xs text-warn"
          title="Empty for longer than LiveKit keeps a room. Its node may have stopped."
        >
          <CloudOff size={12} aria-hidden /> leftover
        </span>
      ) : null}
      {ended ? <span className="text-xs text-ink-3">ended</span> : null}
      {showProject ? <span className="truncate text-xs text-ink-3">{room.project}</span> : null}
    </>
  );

  if (narrow) {
    return (
      <div role="cell" className="flex h-full flex-col justify-center gap-0.5 px-4 hover:bg-hover">
        <span className="flex items-center gap-2">
          {name}
          {marks}
        </span>
        <span className="num flex items-center gap-1.5 text-xs text-ink-2">
          <span>
            {plural(room.participantCount, 'person', 'people')} · {plural(room.publisherCount, 'publisher')}
            {room.agentCount ? ` · ${plural(room.agentCount, 'agent')}` : ''}
          </span>
          <span className="ml-auto text-ink-3">
            {room.startedAt === null ? <Unknown /> : <Age since={room.startedAt} />}
          </span>
        </span>
      </div>
    );
  }
  return (
    <div className={cx(GRID, 'num h-full hover:bg-hover')} role="presentation">
      <Cell className="flex min-w-0 items-center gap-2.5">
        {name}
        {marks}
      </Cell>
      <Cell className="text-right">{count(room.participantCount)}</Cell>
      <Cell className="text-right text-ink-2">{count(room.publisherCount)}</Cell>
      <Cell className="flex gap-3 pl-4 text-ink-2 max-lg:hidden">
        {tracks === 0 ? (
          <span className="text-ink-3">none</span>
        ) : (
          <>
            <Tracks icon={<Mic size={13} />} value={room.trackCounts.audio} name="audio" />
            <Tracks icon={<Video size={13} />} value={room.trackCounts.video} name="video" />
            <Tracks icon={<ScreenShare size={13} />} value={room.trackCounts.screen} name="screen share" />
          </>
        )}
      </Cell>
      <Cell className="text-right text-ink-2 max-lg:hidden">
        {room.agentCount ? (
          <span className="inline-flex items-center gap-1 align-bottom">
            <Bot size={13} aria-hidden /> {count(room.agentCount)}
          </span>
        ) : (
          <span className="text-ink-3">0</span>
        )}
      </Cell>
      <Cell className="text-right text-ink-2">
        {room.startedAt === null ? <Unknown /> : <Age since={room.startedAt} />}
      </Cell>
      <Cell className="text-right text-ink-3 max-lg:hidden">
        {room.lastEventAt === null ? <Unknown /> : <Ago at={room.lastEventAt} />}
      </Cell>
    </div>
  );
});

const Cell = ({ className, children }: { className?: string; children: ReactNode }) => (
  <div role="cell" className={className}>
    {children}
  </div>
);

const Tracks = ({ icon, value, name }: { icon: ReactNode; value: number; name: string }) => (
  <span className={cx('inline-flex w-9 items-center gap-1', value === 0 && 'invisible')}>
    <span aria-hidden>{icon}</span>
    {value}
    <span className="sr-only"> {name}</span>
  </span>
);
