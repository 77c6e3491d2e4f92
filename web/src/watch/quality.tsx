import type { Quality } from '@roomwatch/react/livekit';
import { cx } from '@/ui/cx';
import { Unknown } from '@/ui/states';

export type { Quality };

const levels: Record<Exclude<Quality, 'unknown'>, { bars: number; className: string }> = {
  excellent: { bars: 3, className: 'bg-good-fill' },
  good: { bars: 2, className: 'bg-good-fill' },
  poor: { bars: 1, className: 'bg-warn-fill' },
  lost: { bars: 0, className: 'bg-bad-fill' },
};

/** Connection quality, which LiveKit reports only inside the room: as bars, and as a word for screen readers. */
export function QualityBars({ quality }: { quality: Quality }) {
  if (quality === 'unknown') return <Unknown why="No quality reported yet" />;
  const { bars, className } = levels[quality];
  return (
    <span title={`Connection: ${quality}`} className="inline-flex items-end gap-px">
      <span className="sr-only">Connection {quality}</span>
      {[0, 1, 2].map((bar) => (
        <span
          key={bar}
          aria-hidden
          className={cx(
            'w-1 rounded-[1px]',
            ['h-1.5', 'h-2.5', 'h-3.5'][bar],
            bar < bars ? `dot ${className}` : 'bg-line-strong',
          )}
        />
      ))}
      {quality === 'lost' ? (
        <span aria-hidden className="ml-0.5 text-[0.625rem] leading-3 text-bad">
          ✕
        </span>
      ) : null}
    </span>
  );
}
