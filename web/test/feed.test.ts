import type { Message } from '@roomwatch/react';
import { expect, it } from 'vitest';
import { mergeFeed } from '@/lib/feed';

const message = (seq: number, epoch = 'aaaaaaaa'): Message => ({
  type: 'room_started',
  data: { event: 'room_started' },
  timestamp: seq,
  cursor: `${epoch}-${seq}`,
  project: 'default',
  room: 'r',
  source: 'webhook',
});
const cursors = (list: Message[]) => list.map(({ cursor }) => cursor.replace('aaaaaaaa-', ''));

it('puts the newest first and keeps no more than asked', () =>
  expect(cursors(mergeFeed([message(2), message(1)], [message(3), message(4)], 3))).toEqual(['4', '3', '2']));

it('has no twin where the page of the log and the stream overlap', () =>
  expect(cursors(mergeFeed([message(3), message(2)], [message(2), message(3), message(4)], 9))).toEqual([
    '4',
    '3',
    '2',
  ]));

it('orders by number, not by text: 10 comes after 9', () =>
  expect(cursors(mergeFeed([message(9)], [message(10)], 9))).toEqual(['10', '9']));

it('puts a page that comes late below what the stream has brought meanwhile', () =>
  expect(cursors(mergeFeed([message(7)], [message(5), message(6)], 9))).toEqual(['7', '6', '5']));

it('starts anew in a new epoch', () =>
  expect(mergeFeed([message(900)], [message(1, 'bbbbbbbb')], 9).map(({ cursor }) => cursor)).toEqual(['bbbbbbbb-1']));
