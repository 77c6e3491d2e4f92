import type { ReactNode } from 'react';
import { Button } from './button';
import { Panel } from './panel';
import { Empty, ErrorState, Skeleton } from './states';

/** Panel with a list that loads in pages: its rows, or the reason why there are none, and a button for the next page. */
export function PagedPanel({
  length,
  shown,
  more,
  empty,
  onClear,
  query,
  children,
}: {
  /** Number of rows. Undefined until the first page is there. */
  length: number | undefined;
  /** "50 sessions". */
  shown: string;
  /** "Older sessions". */
  more: string;
  /** Shown instead of an empty list. */
  empty: { title: string; text: string };
  /** Set if a filter may be the reason for an empty list. */
  onClear: (() => void) | undefined;
  query: {
    error: Error | null;
    refetch: () => unknown;
    hasNextPage: boolean;
    isFetchingNextPage: boolean;
    fetchNextPage: () => unknown;
  };
  children: ReactNode;
}) {
  const { error } = query;
  return (
    <Panel flush className="overflow-hidden">
      {length === undefined ? (
        error ? (
          <ErrorState error={error} onRetry={() => query.refetch()} />
        ) : (
          <Skeleton rows={10} />
        )
      ) : length === 0 ? (
        <Empty title={empty.title} action={onClear ? <Button onClick={onClear}>Show all</Button> : undefined}>
          {empty.text}
        </Empty>
      ) : (
        <>
          {children}
          <div className="flex min-h-11 flex-wrap items-center justify-center gap-3 border-t border-line px-4 py-1.5 text-xs text-ink-3">
            {error ? <span className="text-bad">{error.message}</span> : null}
            <span className="num">
              {shown} shown{query.hasNextPage ? '' : ' · end of list'}
            </span>
            {query.hasNextPage ? (
              <Button className="h-7" disabled={query.isFetchingNextPage} onClick={() => query.fetchNextPage()}>
                {query.isFetchingNextPage ? 'Loading…' : more}
              </Button>
            ) : null}
          </div>
        </>
      )}
    </Panel>
  );
}
