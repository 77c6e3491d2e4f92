import { expect, it } from 'vitest';
import { chosenRooms } from '@/watch/several-rooms';

const names = (count: number) => Array.from({ length: count }, (_, n) => ({ name: `room ${n}` }));

it('reads the rooms of an address', () => {
  expect(chosenRooms([{ name: 'a' }, { name: 'a', project: 'north' }])).toEqual([
    { name: 'a', project: undefined },
    { name: 'a', project: 'north' },
  ]);
});

it('ignores the tenth room, a room named twice, and everything else', () => {
  expect(chosenRooms(names(12))).toHaveLength(9);
  expect(chosenRooms([{ name: 'a' }, { name: 'a' }])).toHaveLength(1);
  expect(chosenRooms([1, null, 'a', {}, { name: '' }, { name: 7 }, { name: 'a', project: 1 }])).toEqual([
    { name: 'a', project: undefined },
  ]);
  for (const value of [undefined, 'a', 1, null, {}, []]) expect(chosenRooms(value)).toBeUndefined();
});
