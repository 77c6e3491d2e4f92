// biome-ignore-all lint/a11y/useSemanticElements: a table row cannot have a grid layout, so the roles say what the rows are
import type { Condition, Room } from '@roomwatch/react';
import { Bot, CircleDot, CloudOff, Mic, ScreenShare, TriangleAlert, Video } from 'lucide-react';
import { memo, type ReactNode } from 'react';
import { conditionWords } from '@/attention/condition-words';
import { cx } from '@/ui/cx';
import { count, plural } from '@/ui/format';
import { roomHref } from '@/ui/hrefs';
import { usePlace } from '@/ui/place';
import { PlainLink } from '@/ui/plain-link';
import { Unknown } from '@/ui/states';
import { Age, Ago } from '@/ui/time';
import { trackCount } from './room-list';

/** Columns of the table: its head and its rows. */
export const GRID =
  'grid grid-cols-[minmax(0,1fr)_4.5rem_5.5rem_10.5rem_4rem_6rem_6.5rem] items-center gap-x-3 px-4 max-lg:grid-cols-[minmax(0,1fr)_4.5rem_5rem_5.5rem]';

/** One room: a row of cells, or two lines on a narrow screen. */
export const RoomRow = memo(function RoomRow({
  room,
  ended,
  narrow,
  showProject,
  conditions,
}: {
  room: Room;
  ended: boolean;
  narrow: boolean;
  showProject: boolean;
  /** Open conditions of the room. */
  conditions: Condition[] | undefined;
}) {
  const tracks = trackCount(room);
  const place = usePlace()?.search;
  const name = (
    <PlainLink
      href={roomHref(room.name, { project: room.project, sid: ended ? room.sid : undefined, ...place })}
      data-sid={room.sid}
      // The link covers the whole row: a click anywhere opens the room, and Tab stops once a row.
      className="min-w-0 truncate font-medium outline-offset-[-2px] after:absolute after:inset-0 focus-visible:outline-none focus-visible:after:outline-2 focus-visible:after:outline-offset-[-2px] focus-visible:after:outline-accent"
    >
      {room.name}
    </PlainLink>
  );
  const marks = (
    <>
      {conditions ? <Attention conditions={conditions} /> : null}
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
            {room.callCount ? ` · ${plural(room.callCount, 'phone')}` : ''}
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

/** Link to the conditions on the overview. It lies above the link of the row. */
const Attention = ({ conditions }: { conditions: Condition[] }) => {
  const [first] = conditions.map((condition) => conditionWords(condition).title);
  return (
    <PlainLink
      href="/"
      title="To what needs attention"
      className="relative z-1 inline-flex min-h-6 shrink-0 items-center gap-1 text-xs text-warn hover:underline"
    >
      <TriangleAlert size={12} aria-hidden /> {first}
      {conditions.length > 1 ? ` +${count(conditions.length - 1)}` : ''}
    </PlainLink>
  );
};

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
