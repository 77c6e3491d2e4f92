import type { Cursor } from './wire';

/** Parts of a cursor `<epoch>-<seq>`. */
export interface Position {
  /** Names the log: 8 hex digits. */
  epoch: string;
  /** Position in that log, from 1. */
  seq: number;
}

function positionOf(cursor: Cursor): Position {
  const [epoch = '', seq] = cursor.split('-');
  return { epoch, seq: Number(seq) };
}

/** Returns the parts of a text that a person or an address gave, or null if it is not a cursor. */
export function parseCursor(text: string): Position | null {
  return /^[0-9a-f]{8}-\d{1,19}$/.test(text) ? positionOf(text) : null;
}

/** Returns the cursor of a position. */
export function cursorOf({ epoch, seq }: Position): Cursor {
  return `${epoch}-${seq}`;
}

/** Returns the sequence number of a cursor: its order within one epoch. */
export function seqOf(cursor: Cursor): number {
  return positionOf(cursor).seq;
}

/** Returns true if both cursors belong to the same log. */
export function sameEpoch(a: Cursor, b: Cursor): boolean {
  return compareCursors(a, b) !== null;
}

/** Returns `a` minus `b` in events, or null for cursors of different logs: these have no order. */
export function compareCursors(a: Cursor, b: Cursor): number | null {
  const [x, y] = [positionOf(a), positionOf(b)];
  return x.epoch === y.epoch ? x.seq - y.seq : null;
}

/** Returns true if `a` comes after `b` in the same log. */
export function isAfter(a: Cursor, b: Cursor): boolean {
  return distance(a, b) > 0;
}

/** Returns the number of events from `b` to `a`, 0 if `a` is not after `b`. */
export function distance(a: Cursor, b: Cursor): number {
  return Math.max(0, compareCursors(a, b) ?? 0);
}

/** Returns true if a snapshot at `snapshot` contains every event up to `position`. */
export function covers(snapshot: Cursor, position: Cursor): boolean {
  return (compareCursors(snapshot, position) ?? -1) >= 0;
}

/**
 * Returns the cursor `count` events earlier, not before the start of the log. Reading `after` it starts with the event
 * itself.
 */
export function cursorBefore(cursor: Cursor, count = 1): Cursor {
  const { epoch, seq } = positionOf(cursor);
  return `${epoch}-${Math.max(0, seq - count)}`;
}

/**
 * Returns the items that a snapshot at `cursor` does not contain; items are in log order. A null cursor means that the
 * position of the snapshot is unknown: then all are returned, because applying one twice does no harm.
 */
export function newerThan<T extends { cursor: Cursor }>(cursor: Cursor | null, items: readonly T[]): readonly T[] {
  const [first] = items;
  if (cursor === null || (first && isAfter(first.cursor, cursor))) return items;
  return items.filter((item) => isAfter(item.cursor, cursor));
}
