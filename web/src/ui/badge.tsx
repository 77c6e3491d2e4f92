import type { ReactNode } from 'react';
import { cx } from './cx';

export type Tone = 'plain' | 'good' | 'warn' | 'bad' | 'accent';

const tones: Record<Tone, string> = {
  plain: 'bg-sunken text-ink-2',
  good: 'bg-good-soft text-good',
  warn: 'bg-warn-soft text-warn',
  bad: 'bg-bad-soft text-bad',
  accent: 'bg-accent-soft text-accent',
};

/** Short word about an item. The colour repeats the word and never says more. */
export function Badge({
  tone = 'plain',
  className,
  title,
  children,
}: {
  tone?: Tone;
  className?: string;
  title?: string;
  children: ReactNode;
}) {
  return (
    <span
      title={title}
      className={cx(
        'inline-flex h-5 items-center gap-1 rounded px-1.5 text-xs font-medium whitespace-nowrap',
        tones[tone],
        className,
      )}
    >
      {children}
    </span>
  );
}
