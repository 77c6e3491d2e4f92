import { afterEach, beforeEach, expect, it } from 'vitest';
import { readMoment, readQuestion } from '@/past/moment-text';
import { setUtc } from '@/ui/zone';

const zone = process.env.TZ;
beforeEach(() => {
  process.env.TZ = 'Europe/Berlin';
});
afterEach(() => {
  process.env.TZ = zone;
  setUtc(false);
});

/** Monday, 30 November 2026, 11:20 in Berlin. */
const NOW = Date.parse('2026-11-30T10:20:00Z');
const read = (text: string, now = NOW) => {
  const at = readMoment(text, now);
  return typeof at === 'number' ? new Date(at).toISOString() : at;
};

it.each([
  ['11:03', '2026-11-30T10:03:00.000Z'],
  ['9:05:07', '2026-11-30T08:05:07.000Z'],
  // Not today yet.
  ['14:03', '2026-11-29T13:03:00.000Z'],
  [' at  11:03 ', '2026-11-30T10:03:00.000Z'],
  ['today 11:03', '2026-11-30T10:03:00.000Z'],
  ['Yesterday 14:03', '2026-11-29T13:03:00.000Z'],
  ['yesterday at 14:03', '2026-11-29T13:03:00.000Z'],
  ['2026-11-29 14:03:11', '2026-11-29T13:03:11.000Z'],
  ['2026-11-29T14:03:11.5', '2026-11-29T13:03:11.500Z'],
  ['2026-11-29T14:03:11Z', '2026-11-29T14:03:11.000Z'],
  ['2026-11-29 14:03 UTC', '2026-11-29T14:03:00.000Z'],
  ['2026-11-29 14:03 UTC+5:45', '2026-11-29T08:18:00.000Z'],
  ['2026-11-29 14:03 +0530', '2026-11-29T08:33:00.000Z'],
  ['29 Nov 14:03 UTC−3:30', '2026-11-29T17:33:00.000Z'],
  ['29 Nov, 14:03', '2026-11-29T13:03:00.000Z'],
  ['29 november 2025 14:03', '2025-11-29T13:03:00.000Z'],
  // No such day was this year yet.
  ['24 Dec 18:00', '2025-12-24T17:00:00.000Z'],
  ['14:03 UTC', '2026-11-29T14:03:00.000Z'],
  ['5 min ago', '2026-11-30T10:15:00.000Z'],
  ['2h ago', '2026-11-30T08:20:00.000Z'],
  ['1 day ago', '2026-11-29T10:20:00.000Z'],
  ['30 seconds ago', '2026-11-30T10:19:30.000Z'],
  ['now', '2026-11-30T10:20:00.000Z'],
  ['1795957391000', '2026-11-29T13:03:11.000Z'],
  ['7f3a9c21-1042', '7f3a9c21-1042'],
  // Summer time: half an hour that is not on the clock, and one that is there twice.
  ['2026-03-29 02:30', '2026-03-29T01:30:00.000Z'],
  ['2026-10-25 02:30', '2026-10-25T00:30:00.000Z'],
  ['2026-10-25 02:30 UTC+1', '2026-10-25T01:30:00.000Z'],
])('reads %s', (text, expected) => expect(read(text)).toBe(expected));

it('reads a time of day in UTC when the dashboard shows UTC', () => {
  setUtc(true);
  expect(read('10:03')).toBe('2026-11-30T10:03:00.000Z');
  expect(read('11:03')).toBe('2026-11-29T11:03:00.000Z');
});

it('reads yesterday across the end of summer time, when the day has 25 hours', () =>
  expect(read('yesterday 14:03', Date.parse('2026-10-26T08:00:00Z'))).toBe('2026-10-25T13:03:00.000Z'));

it.each([
  '',
  'soon',
  '25:00',
  '14:60',
  '14:03:99',
  '31 Feb 14:03',
  '2026-02-30 14:03',
  '2026-13-01 14:03',
  '29 Foo 14:03',
  '14',
  '14:3',
  '14:03 UTC+25',
  'tomorrow 14:03',
  '-5',
  '7f3a9c21-',
  '1e12',
])('refuses %s', (text) => expect(readMoment(text, NOW)).toBeNull());

const AT = Date.parse('2026-11-29T13:03:00Z');
it.each([
  ['Who was in standup at 14:03?', { room: 'standup', at: AT }],
  ['who was in the room team at work at yesterday at 14:03 ?', { room: 'team at work', at: AT }],
  ['standup at 2026-11-29 14:03', { room: 'standup', at: AT }],
  ['standup at 7f3a9c21-1042', { room: 'standup', at: '7f3a9c21-1042' }],
  ['yesterday at 14:03', { room: null, at: AT }],
  ['14:03?', { room: null, at: AT }],
  ['at 14:03', { room: null, at: AT }],
  ['Who was in standup at lunch?', { room: null, at: null }],
  ['standup', { room: null, at: null }],
])('takes the question apart: %s', (text, expected) => expect(readQuestion(text, NOW)).toEqual(expected));
