import { type Message, useEvents } from '@roomwatch/react';
import {
  Bot,
  Circle,
  CircleDot,
  type LucideIcon,
  Mic,
  MonitorPlay,
  Podcast,
  ScreenShare,
  UserRound,
  Video,
  Volume2,
} from 'lucide-react';
import { memo, useEffect } from 'react';
import { calledIn, noteNames } from '@/lib/called';
import { describeEvent, type EventTopic, type EventWords } from '@/lib/event-words';
import { plural } from '@/lib/format';
import { useHold } from '@/lib/hold';
import { eventsHref, roomHref } from '@/lib/hrefs';
import { cx } from '@/ui/cx';
import { PlainLink } from '@/ui/plain-link';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { Clock } from '@/ui/time';

/** The shape of each topic, wherever events are listed. */
export const TOPIC_ICONS: Record<EventTopic, LucideIcon> = {
  room: MonitorPlay,
  person: UserRound,
  track: Volume2,
  recording: CircleDot,
  ingress: Podcast,
  agent: Bot,
  other: Circle,
};

const colours: Record<EventWords['turn'], string> = {
  came: 'text-good',
  went: 'text-ink-3',
  changed: 'text-ink-3',
  failed: 'text-bad',
};

/** A track has the icon it has among a participant's tracks. */
const MEDIA_ICONS: Record<NonNullable<EventWords['medium']>, LucideIcon> = {
  audio: Mic,
  video: Video,
  screen: ScreenShare,
};

/** The icon of an event: its shape says what it is about, its colour whether it came, went or failed. */
export function EventIcon({ words, size = 14 }: { words: EventWords; size?: number }) {
  const Icon = words.medium ? MEDIA_ICONS[words.medium] : TOPIC_ICONS[words.topic];
  return <Icon size={size} className={colours[words.turn]} aria-hidden />;
}

/** One event as a sentence; `inRoom` leaves out the room's name where the page is that room. */
export const EventRow = memo(function EventRow({
  message,
  called,
  inRoom,
}: {
  message: Message;
  called: string | null;
  inRoom?: boolean;
}) {
  const words = describeEvent(message, called);
  const showRoom = !inRoom && message.room && words.topic !== 'room';
  return (
    <li className="flex items-baseline gap-2.5 px-4 py-1.5 hover:bg-hover">
      <PlainLink
        href={eventsHref({ at: message.cursor, room: inRoom ? (message.room ?? undefined) : undefined })}
        className="num shrink-0 font-mono text-xs text-ink-3 hover:text-accent hover:underline"
        aria-label="Show the events around this one"
      >
        <Clock at={message.timestamp} />
      </PlainLink>
      <span className="translate-y-0.5 self-start pt-0.5">
        <EventIcon words={words} size={13} />
      </span>
      <p className="min-w-0 grow break-words">
        {words.topic === 'room' && message.room && !inRoom ? (
          <RoomLink message={message} />
        ) : (
          <span className="font-medium" title={words.identity ?? undefined}>
            {words.subject ?? 'Somebody'}
          </span>
        )}{' '}
        <span className="text-ink-2">{words.verb}</span>
        {showRoom ? (
          <>
            <span className="text-ink-3"> {words.preposition}</span>
            <RoomLink message={message} />
          </>
        ) : null}
        {words.detail ? <span className="text-ink-3"> · {words.detail}</span> : null}
        {message.source === 'reconcile' ? (
          <span className="text-ink-3" title="No webhook came for this: Roomwatch found it by asking LiveKit">
            {' '}
            · reconciled
          </span>
        ) : null}
      </p>
    </li>
  );
});

const RoomLink = ({ message }: { message: Message }) => (
  <PlainLink
    href={roomHref(message.room ?? '', { project: message.project })}
    className="font-medium hover:text-accent hover:underline"
  >
    {message.room}
  </PlainLink>
);

/** A list that grows at its head is drawn this often at most. */
const DRAW_EVERY_MS = 500;

/**
 * What happened last, as it happens. It stands still under the pointer and the focus, and says how much waits. Not a live
 * region: two hundred sentences a second would drown everything else.
 */
export function EventFeed({
  room,
  project,
  limit,
  className,
}: {
  room?: string;
  project?: string;
  limit: number;
  className?: string;
}) {
  const { held, bind } = useHold();
  const { events, waiting, isLoading, error, pause, follow, reload } = useEvents({
    room,
    project,
    limit,
    max: limit,
    interval: DRAW_EVERY_MS,
    onPage: (page) => noteNames(page),
  });
  useEffect(() => (held ? pause() : follow()), [held, pause, follow]);
  if (error && events.length === 0) return <ErrorState error={error} compact onRetry={reload} />;
  if (isLoading) return <Skeleton rows={8} />;
  if (events.length === 0) {
    return (
      <Empty title="Nothing has happened yet">
        {room
          ? 'Events of this room appear here the moment LiveKit reports them.'
          : 'Events appear here the moment LiveKit reports them.'}
      </Empty>
    );
  }
  return (
    <div className="relative" {...bind}>
      {waiting > 0 ? (
        <p className="pointer-events-none absolute inset-x-0 top-1 z-10 flex justify-center">
          <span className="num rounded-full bg-solid px-2.5 py-0.5 text-xs text-on-solid shadow-pop">
            {plural(waiting, 'more event')} · held while you are here
          </span>
        </p>
      ) : null}
      <ul className={cx('py-1', className)}>
        {events.map((message) => (
          <EventRow key={message.cursor} message={message} called={calledIn(message)} inRoom={room !== undefined} />
        ))}
      </ul>
    </div>
  );
}
