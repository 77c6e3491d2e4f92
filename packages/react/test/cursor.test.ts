import { describe, expect, it } from 'vitest';
import { newerThan } from '../src/core/cursor';
import { compareCursors, covers, cursorBefore, cursorOf, distance, parseCursor, sameEpoch, seqOf } from '../src/index';

const at = (seq: number, epoch = '7f3a9c21') => cursorOf({ epoch, seq });

describe('a cursor', () => {
  it('has an epoch and a number', () => {
    expect(at(1042)).toBe('7f3a9c21-1042');
    expect(parseCursor('7f3a9c21-1042')).toEqual({ epoch: '7f3a9c21', seq: 1042 });
    expect(seqOf('7f3a9c21-1042')).toBe(1042);
  });

  it.each(['', 'start', '1042', '7f3a9c21', '7f3a9c21-', '7f3a9c21-x', '7F3A9C21-1', ' 7f3a9c21-1'])(
    'is not %j',
    (text) => expect(parseCursor(text)).toBeNull(),
  );

  it('is ordered by its number within one epoch, and not at all across epochs', () => {
    expect(compareCursors(at(10), at(9))).toBe(1);
    expect(compareCursors(at(9), at(10))).toBe(-1);
    expect(compareCursors(at(9), at(9))).toBe(0);
    expect(compareCursors(at(10), at(9, '00c0ffee'))).toBeNull();
    expect(sameEpoch(at(1), at(2))).toBe(true);
    expect(sameEpoch(at(1), at(1, '00c0ffee'))).toBe(false);
    expect(covers(at(10), at(9, '00c0ffee'))).toBe(false);
    expect(distance(at(9), at(12))).toBe(0);
  });

  it('has one before it, down to the start of the log', () => {
    expect(cursorBefore(at(5))).toBe(at(4));
    expect(cursorBefore(at(5), 9)).toBe(at(0));
  });

  it('tells which items are newer; without one, all are', () => {
    const items = [8, 9, 10, 11].map((seq) => ({ cursor: at(seq) }));
    expect(newerThan(at(9), items)).toEqual(items.slice(2));
    expect(newerThan(at(7), items)).toBe(items);
    expect(newerThan(null, items)).toBe(items);
    expect(newerThan(at(1, '00c0ffee'), items)).toEqual([]);
  });
});
