import type { Message } from '@roomwatch/react';
import { useMemo } from 'react';
import { EventSentence } from '@/events/event-sentence';
import { calledIn } from '@/events/names';
import { cx } from '@/ui/cx';
import { clockTime } from '@/ui/format';
import { Empty } from '@/ui/states';
import { lateOf } from './late';
import { useReplay } from './replay-context';

/** Events received up to the moment, the newest first. Above them, those that had happened and were not known yet. */
export function PastFeed({ limit, inRoom, className }: { limit: number; inRoom?: boolean; className?: string }) {
  const { moment, past, next } = useReplay();
  const late = useMemo(() => lateOf([...past, ...next]), [past, next]);
  const learned = next.filter(({ cursor }) => (late.get(cursor) ?? Number.POSITIVE_INFINITY) <= moment);
  const known = past.slice(-limit).reverse();
  const note = (cursor: string, timestamp: number) => {
    const happened = late.get(cursor);
    return happened === undefined ? undefined : `learned ${clockTime(timestamp)}, happened ${clockTime(happened)}`;
  };
  const sentence = (message: Message) => (
    <EventSentence
      key={message.cursor}
      message={message}
      called={calledIn(message)}
      by={null}
      inRoom={inRoom}
      note={note(message.cursor, message.timestamp)}
    />
  );
  if (known.length === 0 && learned.length === 0) {
    return <Empty title="No events yet">No event was received before this moment.</Empty>;
  }
  return (
    <div className={className}>
      {learned.length > 0 ? (
        <section aria-label="Learned later" className="border-b border-line bg-warn-soft/60 py-1">
          <h3 className="px-4 pt-1 text-xs font-medium text-warn">Had happened by then, and was learned later</h3>
          <ul>{learned.slice(0, limit).reverse().map(sentence)}</ul>
        </section>
      ) : null}
      <ul aria-label="Known then" className={cx('py-1')}>
        {known.map(sentence)}
      </ul>
    </div>
  );
}
