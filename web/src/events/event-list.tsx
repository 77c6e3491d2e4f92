import type { ListEnd, Message } from '@roomwatch/react';
import { useVirtualizer } from '@tanstack/react-virtual';
import { type RefObject, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { partFile } from '@/page-file';
import { useShortcuts } from '@/shell/shortcuts';
import { Button } from '@/ui/button';
import { messageOf } from '@/ui/errors';
import { EventRow } from './event-row';
import type { EventSearch } from './event-search';
import { ListFoot } from './list-foot';
import { useDoers } from './use-doers';
import { useNames } from './use-names';
import { useNarrowBox } from './use-narrow-box';

const OpenedEvent = partFile(async () => (await import('./opened-event')).OpenedEvent);

const ROW_PX = 32;
/** On a phone a row has two lines. */
const ROW_PX_NARROW = 52;
/** Distance from the end, in pixels, at which the next page is loaded. */
const NEAR_END_PX = 1_500;
/** Rows shown above the event of `at`. */
const ABOVE = 3;

export interface EventListProps {
  rows: Message[];
  older: ListEnd;
  newer: ListEnd;
  scanned: number;
  /** Event around which the list is loaded. */
  at?: string;
  showProject: boolean;
  filter: EventSearch;
  scroller: RefObject<HTMLDivElement | null>;
  /** Number of events that wait above the list. */
  waiting: number;
  onOlder: () => void;
  onNewer: () => void;
  /** Called when the user reads (scrolls, clicks or moves into the list): the list must not move. */
  onRead: () => void;
  /** Called at the limit of one list, to continue in a new one. */
  onContinueFrom: (cursor: string) => void;
}

/**
 * The tail as rows, newest first. Only rows in view are in the page. A row opens to the whole event.
 */
export function EventList({
  rows,
  older,
  newer,
  scanned,
  at,
  showProject,
  filter,
  scroller,
  waiting,
  onOlder,
  onNewer,
  onRead,
  onContinueFrom,
}: EventListProps) {
  const narrow = useNarrowBox(scroller);
  const doerOf = useDoers();
  const [opened, setOpened] = useState<ReadonlySet<string>>(() => new Set(at ? [at] : []));
  const list = useRef<HTMLUListElement>(null);
  const standing = at !== undefined;

  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => (narrow ? ROW_PX_NARROW : ROW_PX),
    getItemKey: (index) => rows[index]?.cursor ?? index,
    // While following, every row in view changes four times a second: each extra row costs layout.
    overscan: 4,
    scrollMargin: list.current?.offsetTop ?? 0,
  });
  useEffect(() => {
    if (narrow !== undefined) virtual.measure();
  }, [narrow, virtual]);

  // New rows above must not move the rows that are read: the list scrolls by their height.
  const top = useRef<string | undefined>(undefined);
  useLayoutEffect(() => {
    const box = scroller.current;
    const before = top.current;
    top.current = rows[0]?.cursor;
    if (!box || before === undefined || before === rows[0]?.cursor || (!standing && box.scrollTop === 0)) return;
    const added = rows.findIndex((row) => row.cursor === before);
    if (added > 0) box.scrollTop += added * (narrow ? ROW_PX_NARROW : ROW_PX);
  }, [rows, narrow, scroller, standing]);

  // The event of `at` is scrolled into view once, with a few newer ones above it. The rows above are closed, so their
  // heights are known.
  const shownAt = useRef<string>(undefined);
  useLayoutEffect(() => {
    const box = scroller.current;
    if (at === undefined || shownAt.current === at || narrow === undefined || !box) return;
    const index = rows.findIndex((row) => row.cursor === at);
    if (index < 0) return;
    shownAt.current = at;
    box.scrollTop = (list.current?.offsetTop ?? 0) + (index - ABOVE) * (narrow ? ROW_PX_NARROW : ROW_PX);
  }, [at, rows, narrow, scroller]);

  // Scrolling down loads the next page. After a failure only the button tries again.
  const lastIndex = virtual.getVirtualItems().at(-1)?.index ?? 0;
  useEffect(() => {
    const near = (rows.length - 1 - lastIndex) * ROW_PX < NEAR_END_PX;
    const read = (scroller.current?.scrollTop ?? 0) > 0;
    if (older === 'more' && near && read) onOlder();
  }, [rows.length, lastIndex, older, onOlder, scroller]);

  const toggle = useCallback(
    (cursor: string) => {
      onRead();
      setOpened((before) => {
        const next = new Set(before);
        if (!next.delete(cursor)) next.add(cursor);
        return next;
      });
    },
    [onRead],
  );

  const due = useRef<string | null>(null);
  const move = (step: number) => {
    onRead();
    const focused = (document.activeElement as HTMLElement | null)?.closest<HTMLElement>('[data-cursor]')?.dataset
      .cursor;
    const from = rows.findIndex((row) => row.cursor === (focused ?? at));
    const to = Math.min(Math.max(from + step, 0), rows.length - 1);
    const row = rows[to];
    if (!row) return;
    due.current = row.cursor;
    virtual.scrollToIndex(to, { align: 'auto' });
    focusDue();
  };
  // A row that was out of view is in the page one render later.
  const focusDue = () => {
    if (due.current === null) return;
    const button = list.current?.querySelector<HTMLElement>(`[data-cursor="${due.current}"] > button`);
    if (!button) return;
    due.current = null;
    button.focus({ preventScroll: true });
  };
  useEffect(focusDue);
  useShortcuts('Events', [
    { keys: 'j', label: 'Next event', run: () => move(1) },
    { keys: 'k', label: 'Previous event', run: () => move(-1) },
  ]);

  const items = virtual.getVirtualItems();
  const [firstShown, lastShown] = [items[0]?.index ?? 0, items.at(-1)?.index ?? -1];
  const shown = useMemo(() => rows.slice(firstShown, lastShown + 1), [rows, firstShown, lastShown]);
  const calledIn = useNames(shown);
  const offset = list.current?.offsetTop ?? 0;
  return (
    <>
      {standing ? (
        <p className="flex items-center justify-center gap-3 border-b border-line px-4 py-1.5 text-xs text-ink-3">
          {newer === 'more' || newer === 'loading' || waiting > 0 ? (
            <Button className="h-7" disabled={newer === 'loading'} onClick={onNewer}>
              {newer === 'loading' ? 'Loading…' : 'Newer events'}
            </Button>
          ) : typeof newer === 'object' ? (
            <Button className="h-7" onClick={onNewer}>
              {messageOf(newer.error)} Try again
            </Button>
          ) : (
            'Newest event in the log'
          )}
        </p>
      ) : null}
      <ul
        ref={list}
        aria-label="Events, newest first"
        className="relative"
        style={{ height: virtual.getTotalSize() }}
        onPointerDown={onRead}
        onFocus={onRead}
      >
        {items.map((item) => {
          const message = rows[item.index];
          if (!message) return null;
          const isOpen = opened.has(message.cursor);
          return (
            <li
              key={item.key}
              // Only an open row is measured. The height of a closed row is known, and measuring each new row would
              // cost one layout of the page for each row.
              ref={isOpen ? virtual.measureElement : undefined}
              data-index={item.index}
              data-cursor={message.cursor}
              className="absolute inset-x-0 top-0"
              style={{ transform: `translateY(${item.start - offset}px)` }}
            >
              <EventRow
                message={message}
                called={calledIn(message)}
                by={doerOf(message)}
                narrow={!!narrow}
                isOpen={isOpen}
                marked={message.cursor === at}
                showProject={showProject}
                onToggle={toggle}
              />
              {isOpen ? <OpenedEvent message={message} filter={filter} /> : null}
            </li>
          );
        })}
      </ul>
      <ListFoot
        older={older}
        scanned={scanned}
        oldest={rows.at(-1)}
        onOlder={onOlder}
        onContinueFrom={onContinueFrom}
      />
    </>
  );
}
