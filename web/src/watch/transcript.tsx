import type { WatchedSegment } from '@roomwatch/react/livekit';
import { useLayoutEffect, useRef } from 'react';
import { nameOf } from '@/room/people';
import { cx } from '@/ui/cx';
import { Clock } from '@/ui/time';

/** Distance from the end, in pixels, within which the list follows new words. */
const FOLLOW_PX = 40;

/** Transcription of the room with the names of the speakers. Words that can still change are pale. */
export function Transcript({ segments, compact }: { segments: WatchedSegment[]; compact?: boolean }) {
  const list = useRef<HTMLOListElement>(null);
  const follows = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each change of the words can need more room
  useLayoutEffect(() => {
    if (list.current && follows.current) list.current.scrollTop = list.current.scrollHeight;
  }, [segments]);
  return (
    <ol
      ref={list}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must scroll by keys too
      tabIndex={0}
      aria-label="Transcription"
      className={cx('overflow-y-auto pb-2', compact ? 'max-h-20 text-xs' : 'max-h-96')}
      onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
        follows.current = scrollHeight - scrollTop - clientHeight < FOLLOW_PX;
      }}
    >
      {segments.map(({ id, at, from, name, text, final }) => (
        <li key={id} className={cx('px-4', compact ? 'py-0.5' : 'py-1')}>
          <span className="font-medium">{nameOf({ name, identity: from, sid: '' })}</span>{' '}
          {compact ? null : (
            <span className="font-mono text-xs text-ink-3">
              <Clock at={at} />
            </span>
          )}
          <p className={cx('break-words', final ? 'text-ink' : 'text-ink-2 italic')}>{text}</p>
        </li>
      ))}
    </ol>
  );
}
