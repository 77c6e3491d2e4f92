import { useEffect, useReducer, useRef } from 'react';
import { arrangeRows, LEAVE_MS, type RowOrder } from './row-order';

/**
 * Keeps the order of rows between renders. `rows` are the matching rows in order, `all` the existing rows by id. A
 * changed `key` (another filter) computes the order anew. `find` also returns removed rows that are still drawn.
 */
export function useRowOrder<T>(
  rows: T[],
  all: ReadonlyMap<string, T>,
  idOf: (row: T) => string,
  key: string,
  held: boolean,
) {
  const last = useRef<{ key: string; rows: T[]; all: ReadonlyMap<string, T>; held: boolean; order: RowOrder }>(null);
  const remembered = useRef(new Map<string, T>());
  const [, settle] = useReducer((n: number) => n + 1, 0);

  const before = last.current;
  const fading = before !== null && before.order.left.size > 0 && !held;
  if (!before || before.key !== key || before.rows !== rows || before.held !== held || fading) {
    const order = arrangeRows(before?.key === key ? before.order : null, rows.map(idOf), {
      held,
      now: performance.now(),
    });
    for (const id of remembered.current.keys()) if (!order.left.has(id)) remembered.current.delete(id);
    for (const id of order.left.keys()) {
      const row = before?.all.get(id);
      if (row !== undefined) remembered.current.set(id, row);
    }
    last.current = { key, rows, all, held, order };
  }
  const order = last.current?.order ?? arrangeRows(null, [], { held: false, now: 0 });

  useEffect(() => {
    if (order.left.size === 0 || held) return;
    // Faded rows must be removed, even if nothing else renders.
    const timer = setTimeout(settle, LEAVE_MS);
    return () => clearTimeout(timer);
  }, [order, held]);

  return { order, find: (id: string) => all.get(id) ?? remembered.current.get(id) };
}
