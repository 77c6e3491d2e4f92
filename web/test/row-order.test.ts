import { describe, expect, it } from 'vitest';
import { arrangeRows, ENTER_MS, LEAVE_MS } from '@/ui/row-order';

const first = (ids: string[]) => arrangeRows(null, ids, { held: false, now: 0 });

describe('arrangeRows', () => {
  it('tints nothing on the first load', () => {
    expect(first(['a', 'b'])).toMatchObject({ ids: ['a', 'b'], waiting: 0 });
    expect(first(['a', 'b']).entered.size).toBe(0);
  });

  it('inserts new rows in order and tints them for a moment', () => {
    const order = arrangeRows(first(['a', 'c']), ['a', 'b', 'c'], { held: false, now: 10 });
    expect(order.ids).toEqual(['a', 'b', 'c']);
    expect([...order.entered.keys()]).toEqual(['b']);
    expect(arrangeRows(order, ['a', 'b', 'c'], { held: false, now: 10 + ENTER_MS }).entered.size).toBe(0);
  });

  it('keeps a removed row in its place until it has faded', () => {
    const order = arrangeRows(first(['a', 'b', 'c']), ['a', 'c'], { held: false, now: 10 });
    expect(order.ids).toEqual(['a', 'b', 'c']);
    expect(order.left.has('b')).toBe(true);
    expect(arrangeRows(order, ['a', 'c'], { held: false, now: 10 + LEAVE_MS }).ids).toEqual(['a', 'c']);
  });

  it('does not move rows while held: no new row, no gap, no new order', () => {
    const held = arrangeRows(first(['a', 'b', 'c']), ['z', 'c', 'a'], { held: true, now: 10 });
    expect(held.ids).toEqual(['a', 'b', 'c']);
    expect(held.waiting).toBe(1);
    expect([...held.left.keys()]).toEqual(['b']);
    const later = arrangeRows(held, ['z', 'c', 'a'], { held: true, now: 10 + 100 * LEAVE_MS });
    expect(later.ids).toEqual(['a', 'b', 'c']);
    expect(later.left.has('b')).toBe(true);
  });

  it('catches up when it is released', () => {
    const held = arrangeRows(first(['a', 'b']), ['c', 'a'], { held: true, now: 10 });
    const free = arrangeRows(held, ['c', 'a'], { held: false, now: 10 + LEAVE_MS });
    expect(free.ids).toEqual(['c', 'a']);
    expect([...free.entered.keys()]).toEqual(['c']);
    expect(free.waiting).toBe(0);
  });

  it('keeps a row that was removed and added again', () => {
    const gone = arrangeRows(first(['a', 'b']), ['a'], { held: false, now: 10 });
    const back = arrangeRows(gone, ['a', 'b'], { held: false, now: 20 });
    expect(back.ids).toEqual(['a', 'b']);
    expect(back.left.size).toBe(0);
  });

  it('never draws a row twice, whatever changes', () => {
    let order = first(['a', 'b', 'c', 'd']);
    let now = 0;
    for (const sorted of [['d', 'b'], ['b', 'd', 'e'], ['e'], [], ['a', 'e', 'd']]) {
      now += 100;
      order = arrangeRows(order, sorted, { held: now % 200 === 0, now });
      expect(new Set(order.ids).size).toBe(order.ids.length);
    }
  });
});
