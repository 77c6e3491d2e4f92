// biome-ignore-all lint/a11y/useSemanticElements: a table row cannot have a grid layout, so the roles say what the rows are
// biome-ignore-all lint/a11y/useFocusableInteractive: each row has one link, which has the focus
import type { Room } from '@roomwatch/react';
import { defaultRangeExtractor, useWindowVirtualizer } from '@tanstack/react-virtual';
import { ArrowDown, ArrowUp } from 'lucide-react';
import { useEffect, useLayoutEffect, useReducer, useRef, useState } from 'react';
import { useShortcuts } from '@/shell/shortcuts';
import { cx } from '@/ui/cx';
import { useHold } from '@/ui/use-hold';
import { useRowOrder } from '@/ui/use-row-order';
import { HeldNotice } from './held-notice';
import { conditionsOf, type RoomConditions } from './room-list';
import { GRID, RoomRow } from './room-row';
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
  conditions,
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
  conditions: RoomConditions;
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
              <RoomRow
                room={room}
                ended={!all.has(id)}
                narrow={narrow}
                showProject={showProject}
                conditions={conditionsOf(conditions, room)}
              />
            </div>
          );
        })}
      </div>
    </div>
  );
}
