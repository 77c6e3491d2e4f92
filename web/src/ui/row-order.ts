/** A row that has gone stays this long, tinted, so that one sees which it was. */
export const LEAVE_MS = 900;
/** A row that has come is tinted this long. */
export const ENTER_MS = 1_600;

/** Which rows stand where, and which of them have just come or gone. */
export interface RowOrder {
  ids: string[];
  /** When a row appeared, for those that are new enough to be tinted. */
  entered: ReadonlyMap<string, number>;
  /** When a row that is still drawn went away. */
  left: ReadonlyMap<string, number>;
  /** New rows that wait because the order is held. */
  waiting: number;
}

export interface Arranging {
  /** Somebody points at a row or has the focus in one: nothing may move. */
  held: boolean;
  /** Milliseconds of any steady clock. */
  now: number;
}

/**
 * The order of rows from the one before and from the rows as they should be now. While held, every row keeps its place:
 * rows that have gone stay as such, new ones wait. Otherwise the order is that of `sorted`, and rows that went a moment
 * ago keep their place until they have faded.
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
