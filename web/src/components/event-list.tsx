import { type ListEnd, type Message, seqOf } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { ChevronRight, Link2 } from 'lucide-react';
import { memo, type ReactNode, type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { EventIcon } from '@/components/event-feed';
import { JsonTree } from '@/components/json-tree';
import { serverUrl } from '@/lib/base';
import { calledIn } from '@/lib/called';
import { copyText } from '@/lib/clipboard';
import { messageOf } from '@/lib/errors';
import type { EventSearch } from '@/lib/event-filter';
import { describeEvent } from '@/lib/event-words';
import { clockTime, count, fullTime, shortDay } from '@/lib/format';
import { useShortcuts } from '@/shell/shortcuts';
import { Badge } from '@/ui/badge';
import { Button, buttonClass } from '@/ui/button';
import { CopyButton } from '@/ui/copy';
import { cx } from '@/ui/cx';
import { toast } from '@/ui/toast';

const ROW_PX = 32;
/** On a phone a row has two lines. */
const ROW_PX_NARROW = 52;
/** So close to its end (in pixels) the list asks for the next page. */
const NEAR_END_PX = 1_500;
/** Rows shown above an event that was jumped to. */
const ABOVE = 3;

const GRID =
  'grid grid-cols-[1rem_7.25rem_1rem_12rem_minmax(0,1fr)_minmax(0,10rem)_4.5rem] items-center gap-x-2.5 max-xl:grid-cols-[1rem_7.25rem_1rem_11rem_minmax(0,1fr)_4.5rem]';

export interface EventListProps {
  rows: Message[];
  older: ListEnd;
  newer: ListEnd;
  scanned: number;
  /** The event that was jumped to. */
  at?: string;
  showProject: boolean;
  filter: EventSearch;
  scroller: RefObject<HTMLDivElement | null>;
  /** Events wait above: the head of the list says so. */
  waiting: number;
  onOlder: () => void;
  onNewer: () => void;
  /** Somebody reads: scrolls away, clicks or moves into the list. Nothing may move any more. */
  onRead: () => void;
  /** Read back as far as one page goes. */
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
  const [opened, setOpened] = useState<ReadonlySet<string>>(() => new Set(at ? [at] : []));
  const list = useRef<HTMLDivElement>(null);
  const standing = at !== undefined;

  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => (narrow ? ROW_PX_NARROW : ROW_PX),
    getItemKey: (index) => rows[index]?.cursor ?? index,
    // Followed, every row in view is a new one four times a second: each more is layout for nothing.
    overscan: 4,
    scrollMargin: list.current?.offsetTop ?? 0,
  });
  useEffect(() => {
    if (narrow !== undefined) virtual.measure();
  }, [narrow, virtual]);

  // What comes in above must not push away what is being read: the list is scrolled by as much.
  const top = useRef<string | undefined>(undefined);
  useLayoutEffect(() => {
    const box = scroller.current;
    const before = top.current;
    top.current = rows[0]?.cursor;
    if (!box || before === undefined || before === rows[0]?.cursor || (!standing && box.scrollTop === 0)) return;
    const added = rows.findIndex((row) => row.cursor === before);
    if (added > 0) box.scrollTop += added * (narrow ? ROW_PX_NARROW : ROW_PX);
  }, [rows, narrow, scroller, standing]);

  // An event that was jumped to is brought into view once, with a little of what came after it above. The rows above it are
  // closed, so their heights are known without measuring.
  const shownAt = useRef<string>(undefined);
  useLayoutEffect(() => {
    const box = scroller.current;
    if (at === undefined || shownAt.current === at || narrow === undefined || !box) return;
    const index = rows.findIndex((row) => row.cursor === at);
    if (index < 0) return;
    shownAt.current = at;
    box.scrollTop = (list.current?.offsetTop ?? 0) + (index - ABOVE) * (narrow ? ROW_PX_NARROW : ROW_PX);
  }, [at, rows, narrow, scroller]);

  // The list fills itself as one scrolls down; after a failure only the button asks again.
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
            'This is the newest event'
          )}
        </p>
      ) : null}
      <div
        ref={list}
        role="list"
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
            <div
              key={item.key}
              // Only an open row is measured, and seen to close again: a closed one's height is known, and asking each new
              // row for its own would lay out the page once a row.
              ref={isOpen ? virtual.measureElement : undefined}
              data-index={item.index}
              data-cursor={message.cursor}
              role="listitem"
              className="absolute inset-x-0 top-0"
              style={{ transform: `translateY(${item.start - offset}px)` }}
            >
              <Row
                message={message}
                called={calledIn(message)}
                narrow={!!narrow}
                isOpen={isOpen}
                marked={message.cursor === at}
                showProject={showProject}
                onToggle={toggle}
              />
              {isOpen ? <Opened message={message} filter={filter} /> : null}
            </div>
          );
        })}
      </div>
      <Foot older={older} scanned={scanned} oldest={rows.at(-1)} onOlder={onOlder} onContinueFrom={onContinueFrom} />
    </>
  );
}

const Row = memo(function Row({
  message,
  called,
  narrow,
  isOpen,
  marked,
  showProject,
  onToggle,
}: {
  message: Message;
  called: string | null;
  narrow: boolean;
  isOpen: boolean;
  marked: boolean;
  showProject: boolean;
  onToggle: (cursor: string) => void;
}) {
  const words = describeEvent(message, called);
  const today = new Date(message.timestamp).toDateString() === new Date().toDateString();
  const time = (
    <time
      dateTime={new Date(message.timestamp).toISOString()}
      title={fullTime(message.timestamp)}
      className="text-ink-3"
    >
      {today ? null : `${shortDay(message.timestamp)} `}
      {clockTime(message.timestamp)}
      {today ? <span className="max-md:hidden">.{String(message.timestamp % 1_000).padStart(3, '0')}</span> : null}
    </time>
  );
  const sentence = (
    <span className="truncate">
      <span className={words.topic === 'other' ? 'text-ink-2' : 'text-ink'} title={words.identity ?? undefined}>
        {words.subject ?? 'Somebody'}
      </span>{' '}
      <span className="text-ink-2">{words.verb}</span>
      {words.detail ? <span className="text-ink-3"> · {words.detail}</span> : null}
    </span>
  );
  const reconciled =
    message.source === 'reconcile' ? (
      <Badge title="No webhook came for this: Roomwatch found it by asking LiveKit">reconciled</Badge>
    ) : null;
  return (
    <button
      type="button"
      aria-expanded={isOpen}
      onClick={() => onToggle(message.cursor)}
      className={cx(
        'w-full border-l-2 px-3 text-left outline-offset-[-2px] hover:bg-hover',
        marked ? 'border-l-accent bg-accent-soft' : 'border-l-transparent',
        narrow ? 'flex h-13 flex-col justify-center gap-0.5' : cx(GRID, 'h-8'),
      )}
    >
      {narrow ? (
        <>
          <span className="flex items-center gap-2 font-mono text-xs">
            <EventIcon words={words} size={13} />
            <span className="truncate">{message.type}</span>
            <span className="num ml-auto shrink-0">{time}</span>
          </span>
          <span className="flex w-full items-center gap-2 pl-5.5">
            {sentence}
            <span className="ml-auto flex shrink-0 items-center gap-2">
              {reconciled}
              <span className="max-w-28 truncate text-xs text-ink-3">{message.room}</span>
            </span>
          </span>
        </>
      ) : (
        <>
          <ChevronRight
            size={12}
            aria-hidden
            className={cx('text-ink-3 transition-transform', isOpen && 'rotate-90')}
          />
          <span className="num font-mono text-xs whitespace-nowrap">{time}</span>
          <EventIcon words={words} size={13} />
          <span className="truncate font-mono text-xs">{message.type}</span>
          <span className="flex min-w-0 items-center gap-2">
            {sentence}
            {reconciled}
            {message.room !== null ? (
              <span className="min-w-0 truncate text-xs text-ink-3 xl:hidden">in {message.room}</span>
            ) : null}
          </span>
          <span className="min-w-0 truncate text-ink-2 max-xl:hidden">
            {message.room ?? <span className="text-ink-3">no room</span>}
            {showProject ? <span className="text-xs text-ink-3"> {message.project}</span> : null}
          </span>
          <span className="num truncate text-right font-mono text-xs text-ink-3">{seqOf(message.cursor)}</span>
        </>
      )}
    </button>
  );
});

/** The whole event, and where one can go from it. */
function Opened({ message, filter }: { message: Message; filter: EventSearch }) {
  const { data, changes, ...envelope } = message;
  const text = JSON.stringify(message, null, 2);
  const address = `${serverUrl}/events?at=${encodeURIComponent(message.cursor)}`;
  const sid = (data.room as { sid?: unknown } | undefined)?.sid;
  const link = buttonClass('ghost', '!h-7 !px-1.5 !text-xs');
  return (
    <div className="border-y border-line bg-sunken px-3 py-2.5 md:px-9">
      <div className="mb-1.5 flex flex-wrap items-center gap-x-1 gap-y-1">
        <span className="mr-auto text-xs text-ink-3 max-md:w-full">{fullTime(message.timestamp)}</span>
        {message.room !== null ? (
          <>
            <Link
              to="/rooms/$room"
              params={{ room: message.room }}
              search={{ project: message.project }}
              className={link}
            >
              Room
            </Link>
            {typeof sid === 'string' ? (
              <Link to="/sessions/$sid" params={{ sid }} search={{ project: message.project }} className={link}>
                Session
              </Link>
            ) : null}
            {filter.room === message.room ? null : (
              <Link to="/events" search={{ ...filter, room: message.room, at: message.cursor }} className={link}>
                Only this room
              </Link>
            )}
          </>
        ) : null}
        {filter.type === message.type ? null : (
          <Link to="/events" search={{ ...filter, type: message.type, at: message.cursor }} className={link}>
            Only this type
          </Link>
        )}
        <button
          type="button"
          className={link}
          onClick={async () => {
            if (await copyText(address)) toast.good('Link copied');
            else toast.bad(new Error('The browser does not allow copying here'));
          }}
        >
          <Link2 size={13} aria-hidden /> Copy link
        </button>
        <CopyButton text={text} label="Copy the event as JSON" />
      </div>
      <JsonTree value={{ ...envelope, data }} open={3} />
      {changes && changes.length > 0 ? <JsonTree value={{ changes }} open={0} /> : null}
    </div>
  );
}

/** What stands at the old end of the list. */
function Foot({
  older,
  scanned,
  oldest,
  onOlder,
  onContinueFrom,
}: {
  older: ListEnd;
  scanned: number;
  oldest: Message | undefined;
  onOlder: () => void;
  onContinueFrom: (cursor: string) => void;
}) {
  let content: ReactNode;
  if (older === 'end') content = 'This is the oldest event that is kept';
  else if (older === 'loading') content = scanned > 0 ? `Searching… ${count(scanned)} events looked at` : 'Loading…';
  else if (older === 'full') {
    content = oldest ? (
      <Button className="h-7" onClick={() => onContinueFrom(oldest.cursor)}>
        Go on from {shortDay(oldest.timestamp)}, {clockTime(oldest.timestamp)}
      </Button>
    ) : null;
  } else {
    content = (
      <>
        {typeof older === 'object' ? <span className="text-bad">{messageOf(older.error)}</span> : null}
        <Button className="h-7" onClick={onOlder}>
          {scanned > 0 ? 'Search further back' : 'Older events'}
        </Button>
      </>
    );
  }
  return <div className="flex min-h-12 items-center justify-center gap-3 px-4 py-2 text-xs text-ink-3">{content}</div>;
}

/** Whether the list itself is narrow, whatever the window is. */
function useNarrowBox(box: RefObject<HTMLDivElement | null>): boolean | undefined {
  const [narrow, setNarrow] = useState<boolean>();
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => setNarrow((entry?.contentRect.width ?? 0) < 640));
    observer.observe(element);
    setNarrow(element.clientWidth < 640);
    return () => observer.disconnect();
  }, [box]);
  return narrow;
}
