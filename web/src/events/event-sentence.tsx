import type { Message } from '@roomwatch/react';
import { memo } from 'react';
import { eventsHref, roomHref } from '@/ui/hrefs';
import { Name, PersonLink } from '@/ui/person-name';
import { usePlace } from '@/ui/place';
import { PlainLink } from '@/ui/plain-link';
import { Clock } from '@/ui/time';
import { EventIcon } from './event-icon';
import { describeEvent } from './event-words';

/** One event as a sentence. `inRoom` leaves out the name of the room, on the page of that room. */
export const EventSentence = memo(function EventSentence({
  message,
  called,
  by,
  inRoom,
  note,
}: {
  message: Message;
  called: string | null;
  by: string | null;
  inRoom?: boolean;
  /** Further text at the end. */
  note?: string;
}) {
  const words = describeEvent(message, called, by);
  const showRoom = !inRoom && message.room && words.topic !== 'room';
  return (
    <li className="flex items-baseline gap-2.5 px-4 py-1.5 hover:bg-hover">
      <PlainLink
        href={eventsHref({ at: message.cursor, room: inRoom ? (message.room ?? undefined) : undefined })}
        className="num shrink-0 font-mono text-xs text-ink-3 hover:text-accent hover:underline"
      >
        <span className="sr-only">Show in the event log: </span>
        <Clock at={message.timestamp} />
      </PlainLink>
      <span className="translate-y-0.5 self-start pt-0.5">
        <EventIcon words={words} size={13} />
      </span>
      <p className="min-w-0 grow break-words">
        {words.topic === 'room' && message.room && !inRoom ? (
          <RoomLink message={message} />
        ) : (
          <PersonLink identity={words.who} project={message.project} title={words.identity} className="font-medium">
            {words.subject === null ? 'Unknown participant' : <Name>{words.subject}</Name>}
          </PersonLink>
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
          <span className="text-ink-3" title="Found by polling LiveKit. No webhook arrived.">
            {' '}
            · detected by sync
          </span>
        ) : null}
        {note ? <span className="num text-warn"> · {note}</span> : null}
      </p>
    </li>
  );
});

function RoomLink({ message }: { message: Message }) {
  return (
    <PlainLink
      href={roomHref(message.room ?? '', { project: message.project, ...usePlace()?.search })}
      className="font-medium hover:text-accent hover:underline"
    >
      {message.room}
    </PlainLink>
  );
}
