import type { Cursor } from './wire';

const parts = (cursor: Cursor) => {
  const at = cursor.indexOf('-');
  return { epoch: cursor.slice(0, at), seq: Number(cursor.slice(at + 1)) };
};

/** Whether `a` stands after `b` in the same log. Positions in different logs cannot be compared: false. */
export function isAfter(a: Cursor, b: Cursor): boolean {
  const [x, y] = [parts(a), parts(b)];
  return x.epoch === y.epoch && x.seq > y.seq;
}

/** How many positions lie between, 0 when `a` is not after `b`. */
export function distance(a: Cursor, b: Cursor): number {
  return isAfter(a, b) ? parts(a).seq - parts(b).seq : 0;
}

/** Whether a snapshot at `snapshot` knows everything up to `position`. Of another log it knows nothing. */
export function covers(snapshot: Cursor, position: Cursor): boolean {
  return snapshot === position || isAfter(snapshot, position);
}
