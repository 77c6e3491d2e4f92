import type { ListEnd, Message } from '@roomwatch/react';
import type { ReactNode } from 'react';
import { Button } from '@/ui/button';
import { messageOf } from '@/ui/errors';
import { clockTime, count, shortDay } from '@/ui/format';

/** Foot of the list, at its oldest event. */
export function ListFoot({
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
  if (older === 'end') content = 'Oldest event in the log';
  else if (older === 'loading') content = scanned > 0 ? `Searching… ${count(scanned)} events searched` : 'Loading…';
  else if (older === 'full') {
    content = oldest ? (
      <Button className="h-7" onClick={() => onContinueFrom(oldest.cursor)}>
        Continue from {shortDay(oldest.timestamp)}, {clockTime(oldest.timestamp)}
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
