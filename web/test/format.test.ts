import { describe, expect, it } from 'vitest';
import { ago, bytes, duration, plural, words } from '@/ui/format';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

describe('duration', () => {
  it.each([
    [-5, '0s'],
    [999, '0s'],
    [59_999, '59s'],
    [MINUTE + 7_000, '1m 07s'],
    [HOUR, '1h 00m'],
    [HOUR + 4 * MINUTE, '1h 04m'],
    [50 * HOUR, '2d 02h'],
  ])('%d ms is %s', (millis, text) => expect(duration(millis)).toBe(text));
});

describe('ago', () => {
  it('does not show a negative age if the clock of the server is ahead', () =>
    expect(ago(10_000, 4_000)).toBe('just now'));
  it.each([
    [42_000, '42s ago'],
    [4 * MINUTE, '4m ago'],
    [5 * HOUR, '5h ago'],
    [49 * HOUR, '2d ago'],
  ])('%d ms is %s', (millis, text) => expect(ago(0, millis)).toBe(text));
});

it('has singular and plural', () => {
  expect(plural(1, 'room')).toBe('1 room');
  expect(plural(12_345, 'room')).toBe('12,345 rooms');
});

it('writes an unknown event type as words', () => expect(words('HOLOGRAM_projected')).toBe('hologram projected'));

it('writes a number of bytes in the unit in which it is short', () => {
  const cases: [number, string][] = [
    [0, '0 B'],
    [999, '999 B'],
    [1_500, '1.5 kB'],
    [12_400_000, '12 MB'],
    [4_000_000_000, '4 GB'],
    [252_000_000_000, '252 GB'],
    [1_500_000_000_000, '1.5 TB'],
  ];
  for (const [value, expected] of cases) expect(bytes(value)).toBe(expected);
});
