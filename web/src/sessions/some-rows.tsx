import { type ReactNode, useState } from 'react';
import { Button } from '@/ui/button';
import { count } from '@/ui/format';

/** Rows that are drawn at first, and with each click: thousands of lanes would stop the browser. */
const ROWS = 200;

/** Returns how many of the rows to draw, and a button for more of them. */
export function useSomeRows(total: number): { shown: number; more: ReactNode } {
  const [shown, setShown] = useState(ROWS);
  const left = total - shown;
  const more =
    left > 0 ? (
      <p className="flex items-center gap-2 px-4 py-2 text-xs text-ink-2">
        <Button variant="ghost" className="text-xs" onClick={() => setShown(shown + ROWS)}>
          Show {count(Math.min(ROWS, left))} more
        </Button>
        {count(shown)} of {count(total)} are shown.
      </p>
    ) : null;
  return { shown, more };
}
