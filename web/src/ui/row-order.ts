/** Time for which a removed row stays, tinted, so that the user sees which one it was. */
export const LEAVE_MS = 900;
/** Time for which a new row is tinted. */
export const ENTER_MS = 1_600;

/** Order of rows, with the rows that have just been added or removed. */
export interface RowOrder {
  ids: string[];
  /** Times at which rows appeared, for rows that are still tinted. */
  entered: ReadonlyMap<string, number>;
  /** Times at which rows were removed, for rows that are still drawn. */
  left: ReadonlyMap<string, number>;
  /** Number of new rows that wait because the order is held. */
  waiting: number;
}

export interface Arranging {
  /** True while the pointer or the focus is in the list: no row may move. */
  held: boolean;
  /** Milliseconds of any steady clock. */
  now: number;
}

/**
 * Returns the next order from the previous one and the sorted rows. While held, every row keeps its place: removed rows
 * stay, new rows wait. Otherwise the order is that of `sorted`, and rows that were just removed keep their place until
 * they fade.
 */
export function arrangeRows(before: RowOrder | null, sorted: string[], { held, now }: Arranging): RowOrder {
  if (!before) return { ids: sorted, entered: new Map(), left: new Map(), waiting: 0 };

  const alive = new Set(sorted);
  const known = new Set(before.ids);
  const left = new Map<string, number>();
  for (const id of before.ids) {
    if (alive.has(id)) continue;
    const at = before.left.get(id) ?? now;
    if (held || now - at < LEAVE_MS) left.set(id, at);
  }
  const entered = new Map([...before.entered].filter(([id, at]) => alive.has(id) && now - at < ENTER_MS));

  if (held) {
    const waiting = sorted.reduce((sum, id) => sum + Number(!known.has(id)), 0);
    return { ids: before.ids, entered, left, waiting };
  }

  for (const id of sorted) if (!known.has(id)) entered.set(id, now);
  let ids = sorted;
  if (left.size > 0) {
    ids = [...sorted];
    before.ids.forEach((id, index) => {
      if (left.has(id)) ids.splice(Math.min(index, ids.length), 0, id);
    });
  }
  return { ids, entered, left, waiting: 0 };
}
