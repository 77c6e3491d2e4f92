import { type Message, seqOf } from '@roomwatch/react';
import { ChevronRight } from 'lucide-react';
import { memo } from 'react';
import { Badge } from '@/ui/badge';
import { cx } from '@/ui/cx';
import { clockTime, fullTime, shortDay } from '@/ui/format';
import { Name } from '@/ui/person-name';
import { sameDay } from '@/ui/zone';
import { EventIcon } from './event-icon';
import { describeEvent } from './event-words';

const GRID =
  'grid grid-cols-[1rem_7.25rem_1rem_12rem_minmax(0,1fr)_minmax(0,10rem)_4.5rem] items-center gap-x-2.5 max-xl:grid-cols-[1rem_7.25rem_1rem_11rem_minmax(0,1fr)_4.5rem]';

/** One event as a row that opens: time, type, sentence, room and number. */
export const EventRow = memo(function EventRow({
  message,
  called,
  by,
  narrow,
  isOpen,
  marked,
  showProject,
  onToggle,
}: {
  message: Message;
  called: string | null;
  by: string | null;
  narrow: boolean;
  isOpen: boolean;
  marked: boolean;
  showProject: boolean;
  onToggle: (cursor: string) => void;
}) {
  const words = describeEvent(message, called, by);
  const today = sameDay(message.timestamp, Date.now());
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
        {words.subject === null ? 'Unknown participant' : <Name>{words.subject}</Name>}
      </span>{' '}
      <span className="text-ink-2">{words.verb}</span>
      {words.detail ? <span className="text-ink-3"> · {words.detail}</span> : null}
    </span>
  );
  const reconciled =
    message.source === 'reconcile' ? (
      <Badge title="Found by polling LiveKit. No webhook arrived.">detected by sync</Badge>
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
