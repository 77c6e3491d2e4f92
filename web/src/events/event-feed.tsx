import { useEvents } from '@roomwatch/react';
import { useEffect } from 'react';
import { cx } from '@/ui/cx';
import { plural } from '@/ui/format';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { useHold } from '@/ui/use-hold';
import { EventSentence } from './event-sentence';
import { noteNames } from './names';
import { useDoers } from './use-doers';
import { useNames } from './use-names';
import { RUSH_SECONDS, type Rush, useRush } from './use-rush';

/** Minimum time between two changes of the list. */
const DRAW_EVERY_MS = 500;

/**
 * Latest events. The list pauses under the pointer and the focus, and shows how many events wait. It is not a live
 * region: a screen reader could not follow hundreds of sentences a second.
 */
export function EventFeed({
  room,
  participant,
  project,
  limit,
  className,
}: {
  room?: string;
  /** Identity. */
  participant?: string;
  project?: string;
  limit: number;
  className?: string;
}) {
  const { held, bind } = useHold();
  const doerOf = useDoers();
  const { events, waiting, isLoading, error, pause, follow, reload } = useEvents({
    room,
    participant,
    project,
    limit,
    max: limit,
    interval: DRAW_EVERY_MS,
    onPage: (page) => noteNames(page),
  });
  useEffect(() => (held ? pause() : follow()), [held, pause, follow]);
  const calledIn = useNames(events);
  const rush = useRush(room, project);
  if (error && events.length === 0) return <ErrorState error={error} compact onRetry={reload} />;
  if (isLoading) return <Skeleton rows={8} />;
  if (events.length === 0) {
    return (
      <Empty title="No events yet">
        {room
          ? 'New events of this room appear here.'
          : participant
            ? 'The log has no event of this participant any more. New ones appear here.'
            : 'New events appear here.'}
      </Empty>
    );
  }
  return (
    <div className="relative" {...bind}>
      {waiting > 0 ? (
        <p className="pointer-events-none absolute inset-x-0 top-1 z-10 flex justify-center">
          <span className="num rounded-full bg-solid px-2.5 py-0.5 text-xs text-on-solid shadow-pop">
            {plural(waiting, 'more event')} · paused while you hover or focus
          </span>
        </p>
      ) : null}
      {rush && participant === undefined ? (
        <p className="num border-b border-line bg-sunken px-4 py-1.5 text-xs text-ink-2">{rushText(rush)}</p>
      ) : null}
      <ul className={cx('py-1', className)}>
        {events.map((message) => (
          <EventSentence
            key={message.cursor}
            message={message}
            called={calledIn(message)}
            by={doerOf(message)}
            inRoom={room !== undefined}
          />
        ))}
      </ul>
    </div>
  );
}

/** "214 joins, 190 leaves and 41 other events in the last 10 s" */
const rushText = ({ joins, leaves, others }: Rush) =>
  `${plural(joins, 'join')}, ${plural(leaves, 'leave')} and ${plural(others, 'other event')} in the last ${RUSH_SECONDS} s`;
