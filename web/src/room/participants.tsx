import type { Participant, Room } from '@roomwatch/react';
import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { useLayoutEffect, useMemo, useRef, useState } from 'react';
import { cx } from '@/ui/cx';
import { SearchInput } from '@/ui/field';
import { fold } from '@/ui/fold';
import { count } from '@/ui/format';
import { Panel } from '@/ui/panel';
import { usePlace } from '@/ui/place';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { useHold } from '@/ui/use-hold';
import { useRowOrder } from '@/ui/use-row-order';
import type { Quality } from '@/watch/quality';
import { ParticipantRow } from './participant-row';
import { orderParticipants } from './people';

const ROW_PX = 44;
/** Number of participants from which the search is shown. */
const SEARCH_FROM = 8;

const sidOf = (participant: Participant) => participant.sid;

/** Participants of the room, with the hidden ones. No row moves while the pointer or the focus is in the list. */
export function Participants({
  room,
  participants,
  quality,
  error,
  onRetry,
}: {
  room: Room;
  participants: Participant[] | undefined;
  /** Quality by identity, from the Watch view. LiveKit reports it only inside the room. */
  quality: ReadonlyMap<string, Quality>;
  error: unknown;
  onRetry: () => void;
}) {
  const [q, setQ] = useState('');
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const { held, bind } = useHold();
  const moment = usePlace()?.moment;
  const body = useRef<HTMLUListElement>(null);
  const all = useMemo(() => new Map(participants?.map((one) => [one.sid, one])), [participants]);
  const list = useMemo(() => {
    const wanted = fold(q);
    return orderParticipants(participants ?? []).filter((one) =>
      wanted === ''
        ? true
        : fold(one.name).includes(wanted) || fold(one.identity).includes(wanted) || one.sid.startsWith(q),
    );
  }, [participants, q]);
  // The rows of the first answer, and of another moment of the past, are not tinted.
  const { order, find } = useRowOrder(list, all, sidOf, `${participants !== undefined} ${q} ${moment}`, held);

  const rowCount = order.ids.length;
  const [offset, setOffset] = useState(0);
  useLayoutEffect(() => {
    if (rowCount === 0) return;
    const top = body.current?.getBoundingClientRect().top ?? 0;
    setOffset(top + window.scrollY);
  }, [rowCount]);
  const rows = useWindowVirtualizer({
    count: rowCount,
    estimateSize: () => ROW_PX,
    overscan: 10,
    scrollMargin: offset,
    getItemKey: (index) => order.ids[index] ?? index,
  });

  const toggle = (sid: string) =>
    setOpen((before) => {
      const next = new Set(before);
      if (!next.delete(sid)) next.add(sid);
      return next;
    });

  return (
    <Panel
      flush
      title={
        <>
          Participants{' '}
          <span className="num font-normal text-ink-3">
            {participants ? count(participants.length) : ''}
            {q && participants ? `, ${count(list.length)} shown` : ''}
          </span>
        </>
      }
      aside={
        (participants?.length ?? 0) >= SEARCH_FROM || q ? (
          <SearchInput
            label="Search participants"
            placeholder="Name, identity or SID"
            className="w-52"
            value={q}
            onChange={(event) => setQ(event.target.value)}
          />
        ) : null
      }
    >
      {!participants ? (
        error ? (
          <ErrorState error={error} compact onRetry={onRetry} />
        ) : (
          <Skeleton rows={6} />
        )
      ) : order.ids.length === 0 ? (
        q ? (
          <Empty title="No matching participants">Try another name, identity or SID.</Empty>
        ) : (
          <Empty title="No participants">LiveKit closes an empty room after its timeout.</Empty>
        )
      ) : (
        <div {...bind}>
          <div aria-hidden className="flex gap-2 border-b border-line px-2 py-1 text-xs text-ink-3 max-sm:hidden">
            <span className="grow pl-6">Name</span>
            <span>Tracks</span>
            <span className="w-10 text-center">Quality</span>
            <span className="w-18 text-right">Connected</span>
            <span className="w-8" />
          </div>
          <ul ref={body} className="relative" style={{ height: rows.getTotalSize() }}>
            {rows.getVirtualItems().map((item) => {
              const sid = order.ids[item.index];
              const participant = sid === undefined ? undefined : find(sid);
              if (!sid || !participant) return null;
              return (
                <li
                  key={sid}
                  ref={rows.measureElement}
                  data-index={item.index}
                  className={cx(
                    'absolute inset-x-0 top-0 border-b border-line',
                    order.left.has(sid) ? 'row-leave' : order.entered.has(sid) && 'row-enter',
                  )}
                  style={{ transform: `translateY(${item.start - offset}px)` }}
                >
                  <ParticipantRow
                    room={room}
                    participant={participant}
                    gone={!all.has(sid)}
                    quality={quality.get(participant.identity)}
                    open={open.has(sid)}
                    onToggle={toggle}
                  />
                </li>
              );
            })}
          </ul>
        </div>
      )}
      {held && order.waiting > 0 ? (
        <p className="num border-t border-line px-4 py-1.5 text-xs text-accent">
          {count(order.waiting)} more joined · paused while you hover or focus
        </p>
      ) : null}
    </Panel>
  );
}
