import { type Room, useRooms } from '@roomwatch/react';
import { useSearch } from '@tanstack/react-router';
import { CircleCheck, CircleDot, Info, OctagonAlert, TriangleAlert } from 'lucide-react';
import { type ReactNode, useLayoutEffect, useRef, useState } from 'react';
import { conditionWords } from '@/attention/condition-words';
import { useOpenConditions } from '@/attention/use-open-conditions';
import { byRoom, conditionsOf, listRooms, type RoomConditions, type RoomFilter } from '@/rooms/room-list';
import { cx } from '@/ui/cx';
import { clockTime, count, plural } from '@/ui/format';
import { useTabTitle } from '@/ui/tab-title';
import { Age, useNow } from '@/ui/time';
import { useThrottled } from '@/ui/use-throttled';
import { useTrouble } from './trouble';
import { useWakeLock } from './wake-lock';

/** Minimum time between two changes of the numbers: faster ones cannot be read. */
const DRAW_EVERY_MS = 500;
/** Maximum conditions that fit. The second number is for a screen that also says why it may be old. */
const CONDITIONS_MAX = { overview: [4, 3], rooms: [2, 2] } as const;
/** Heights in the list of rooms, in its font size: a room, and the lines before and after the list. */
const ROOM_EM = 2.2;
const LINES_EM = 3.4;
/** Width from which rooms stand in two columns: `sm:` below. */
const TWO_COLUMNS = matchMedia('(min-width: 40rem)');

const severities: Record<string, { icon: ReactNode; className: string; word: string }> = {
  critical: { icon: <OctagonAlert size="1.9em" />, className: 'text-bad', word: 'Critical' },
  warning: { icon: <TriangleAlert size="1.9em" />, className: 'text-warn', word: 'Warning' },
  notice: { icon: <Info size="1.9em" />, className: 'text-ink-2', word: 'Notice' },
};

/**
 * Overview or rooms for a screen across the room: attention first, and no controls. It never watches a room. All text is
 * at least 1.9 % of the width, which is readable from five metres on a screen of 55 inches.
 */
export function Wall({ page }: { page: 'overview' | 'rooms' }) {
  const { data, error } = useRooms();
  const rooms = useThrottled(data, DRAW_EVERY_MS);
  const open = useOpenConditions()?.open;
  const trouble = useTrouble();
  const title = page === 'rooms' ? 'Rooms' : 'Overview';
  const fit = trouble.length > 0 ? 1 : 0;
  const max = CONDITIONS_MAX[page][fit];
  useWakeLock();
  return (
    <main
      id="main"
      className={cx(
        'flex min-h-dvh flex-col sm:h-dvh gap-[0.8em] border-[0.4em] p-[0.7em] text-[max(1rem,1.9vw)] leading-[1.25]',
        trouble.length > 0 ? 'border-bad-fill' : 'border-transparent',
      )}
    >
      <title>{useTabTitle(title)}</title>
      <header className="flex items-baseline gap-[1em]">
        <h1 className="grow truncate font-semibold">{title}</h1>
        <Time />
      </header>

      {trouble.map(({ text, detail }) => (
        <section key={text} aria-label={text} className="rounded-[0.3em] bg-bad-soft px-[0.6em] py-[0.4em] text-bad">
          <p className="text-[1.6em] font-semibold">{text}</p>
          <p>{detail}</p>
        </section>
      ))}

      <section aria-label="Needs attention" className={cx(trouble.length > 0 && 'grayscale')}>
        {open === undefined ? (
          <p>Not known yet</p>
        ) : open.length === 0 ? (
          <p className="flex items-center gap-[0.4em] text-[1.6em] font-medium text-good">
            <CircleCheck size="1em" aria-hidden />{' '}
            {trouble.length > 0 ? 'Nothing needed attention' : 'Nothing needs attention'}
          </p>
        ) : (
          <ul className="space-y-[0.5em]">
            {open.slice(0, max).map((condition) => {
              const { title, preposition, detail } = conditionWords(condition);
              const look = severities[condition.severity] ?? severities.notice;
              return (
                <li key={`${condition.project}/${condition.id}`} className="flex gap-[0.5em]">
                  <span className={cx('shrink-0', look?.className)}>
                    <span aria-hidden>{look?.icon}</span>
                    <span className="sr-only">{look?.word}: </span>
                  </span>
                  <div className="min-w-0 grow">
                    <p className={cx('truncate text-[1.6em] font-semibold', look?.className)}>
                      {title}
                      {condition.room ? ` ${preposition ?? '·'} ${condition.room}` : ''}
                    </p>
                    {detail ? <p className="truncate">{detail}</p> : null}
                  </div>
                  <span className="num shrink-0 text-[1.6em]">
                    <Age since={condition.since} />
                  </span>
                </li>
              );
            })}
          </ul>
        )}
        {open && open.length > max ? <p className="mt-[0.4em]">and {count(open.length - max)} more</p> : null}
      </section>

      <div className={cx('min-h-0 grow', trouble.length > 0 && 'grayscale')}>
        {rooms === undefined ? (
          <p>{error ? 'The rooms cannot be read' : 'Loading the rooms'}</p>
        ) : page === 'rooms' ? (
          <WallRooms rooms={rooms} conditions={byRoom(open ?? [])} />
        ) : (
          <WallTotals rooms={rooms} />
        )}
      </div>
    </main>
  );
}

/** The time, with seconds: a browser that has stopped is noticed. */
const Time = () => <p className="num text-[1.6em] font-semibold">{clockTime(useNow())}</p>;

function WallTotals({ rooms }: { rooms: Room[] }) {
  const sum = (of: (room: Room) => number) => rooms.reduce((total, room) => total + of(room), 0);
  const totals = [
    ['Rooms', rooms.length],
    ['People', sum((room) => room.participantCount)],
    ['Publishers', sum((room) => room.publisherCount)],
    ['Recording', sum((room) => Number(room.recording))],
  ] as const;
  return (
    <dl className="grid grid-cols-2 gap-[0.8em] sm:grid-cols-4">
      {totals.map(([label, value]) => (
        <div key={label} className="rounded-[0.3em] border border-line bg-surface px-[0.7em] py-[0.4em]">
          <dt className="text-ink-2">{label}</dt>
          <dd className="num text-[3.4em] leading-[1.15] font-semibold">{count(value)}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Returns how many rooms fit into a box. */
function useFit() {
  const box = useRef<HTMLDivElement>(null);
  const [max, setMax] = useState(0);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => {
      const em = Number.parseFloat(getComputedStyle(element).fontSize);
      const rows = Math.floor((element.clientHeight / em - LINES_EM) / ROOM_EM);
      setMax(Math.max(1, rows) * (TWO_COLUMNS.matches ? 2 : 1));
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);
  return { box, max };
}

/** Rooms that need attention first, then the largest: as many as fit. The filters of the address apply. */
function WallRooms({ rooms, conditions }: { rooms: Room[]; conditions: RoomConditions }) {
  const { box, max } = useFit();
  const { q, project, recording, agents, stale, noAgents, alone, long, attention, phone } = useSearch({
    strict: false,
  }) as RoomFilter;
  const filter = { q, project, recording, agents, stale, noAgents, alone, long, attention, phone };
  const list = listRooms(rooms, filter, 'people', true, conditions);
  const needs = (room: Room) => conditionsOf(conditions, room) !== undefined;
  const shown = [...list.filter(needs), ...list.filter((room) => !needs(room))].slice(0, max);
  const people = list.reduce((total, room) => total + room.participantCount, 0);
  return (
    <div ref={box} className="h-full overflow-hidden">
      <p className="num mb-[0.4em]">
        {list.length === rooms.length ? '' : `${count(list.length)} of `}
        {plural(rooms.length, 'live room')} · {plural(people, 'person', 'people')}
      </p>
      <ul className="grid gap-x-[1.2em] sm:grid-cols-2">
        {shown.map((room) => (
          <li key={room.sid} className="flex items-baseline gap-[0.5em] border-b border-line py-[0.2em]">
            <span className="min-w-0 grow truncate text-[1.4em] font-medium">{room.name}</span>
            {needs(room) ? (
              <span className="shrink-0 text-warn">
                <TriangleAlert size="1.1em" aria-label="needs attention" />
              </span>
            ) : null}
            {room.recording ? (
              <span className="shrink-0 text-bad">
                <CircleDot size="1.1em" aria-label="recording" />
              </span>
            ) : null}
            <span className="num shrink-0 text-[1.4em] font-semibold">
              {count(room.participantCount)}
              <span className="sr-only"> people</span>
            </span>
          </li>
        ))}
      </ul>
      {list.length > shown.length ? (
        <p className="mt-[0.4em]">and {plural(list.length - shown.length, 'more room')}</p>
      ) : null}
    </div>
  );
}
