import { Button } from './button';

/** Foot of a list that loads in pages: how much is shown, and a button for the next page. */
export function PageFoot({
  shown,
  more,
  error,
  page,
}: {
  /** "50 sessions". */
  shown: string;
  /** "Older sessions". */
  more: string;
  error: { message: string } | null;
  page: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown };
}) {
  return (
    <div className="flex min-h-11 flex-wrap items-center justify-center gap-3 border-t border-line px-4 py-1.5 text-xs text-ink-3">
      {error ? <span className="text-bad">{error.message}</span> : null}
      <span className="num">
        {shown} shown{page.hasNextPage ? '' : ' · end of list'}
      </span>
      {page.hasNextPage ? (
        <Button className="h-7" disabled={page.isFetchingNextPage} onClick={() => page.fetchNextPage()}>
          {page.isFetchingNextPage ? 'Loading…' : more}
        </Button>
      ) : null}
    </div>
  );
}
