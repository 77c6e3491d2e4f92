import { CircleAlert, RotateCw } from 'lucide-react';
import type { ReactNode } from 'react';
import { Button } from './button';
import { cx } from './cx';
import { docsOf, messageOf } from './errors';

/** Empty state: the reason, and what to do next. */
export function Empty({
  icon,
  title,
  children,
  action,
}: {
  icon?: ReactNode;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className="mx-auto flex max-w-md flex-col items-center px-6 py-14 text-center">
      {icon ? <div className="mb-3 text-ink-3">{icon}</div> : null}
      <h2 className="text-[0.9375rem] font-medium">{title}</h2>
      {children ? <div className="mt-1 text-ink-2">{children}</div> : null}
      {action ? <div className="mt-4 flex flex-wrap justify-center gap-2">{action}</div> : null}
    </div>
  );
}

/** Error state: the message, and a button that tries again. */
export function ErrorState({
  error,
  title = 'Could not load',
  onRetry,
  compact,
}: {
  error: unknown;
  title?: string;
  onRetry?: () => void;
  compact?: boolean;
}) {
  const docs = docsOf(error);
  return (
    <div
      role="alert"
      className={cx('mx-auto flex max-w-md flex-col items-center px-6 text-center', compact ? 'py-6' : 'py-14')}
    >
      <CircleAlert size={20} className="mb-2 text-bad" aria-hidden />
      <h2 className="text-[0.9375rem] font-medium">{title}</h2>
      <p className="mt-1 break-words text-ink-2">{messageOf(error)}</p>
      <div className="mt-4 flex items-center gap-3">
        {onRetry ? (
          <Button onClick={onRetry}>
            <RotateCw size={14} /> Try again
          </Button>
        ) : null}
        {docs ? (
          <a className="text-accent underline" href={docs} target="_blank" rel="noreferrer">
            What this means
          </a>
        ) : null}
      </div>
    </div>
  );
}

/** Placeholder for text, for the first load only. Later, the old answer stays until the new one arrives. */
export function Skeleton({ rows = 6, className }: { rows?: number; className?: string }) {
  return (
    <div role="status" aria-label="Loading" className={cx('space-y-3 p-4', className)}>
      {Array.from({ length: rows }, (_, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the rows are equal and never move
        <div key={i} className={cx('skeleton h-4', ['w-3/4', 'w-1/2', 'w-5/6', 'w-2/3'][i % 4])} />
      ))}
    </div>
  );
}

/** A value that LiveKit has not reported. It is shown as unknown, never as zero. */
export const Unknown = ({ why = 'Not reported by LiveKit' }: { why?: string }) => (
  <span className="text-ink-3" title={why}>
    <span aria-hidden>–</span>
    <span className="sr-only">unknown</span>
  </span>
);
