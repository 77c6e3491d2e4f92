import { afterEach, expect, it } from 'vitest';
import { ticksOf } from '@/sessions/timeline';
import { fullTime, shortTime } from '@/ui/format';
import { fromWallText, sameDay, setUtc, wallText, zoneName } from '@/ui/zone';

const zone = process.env.TZ;
afterEach(() => {
  process.env.TZ = zone;
  setUtc(false);
});

const at = (text: string) => Date.parse(text);

it.each([
  ['UTC', '2026-11-29T13:03:11.123Z', 'Sun, 29 Nov 2026, 13:03:11.123 UTC'],
  ['Europe/Berlin', '2026-11-29T13:03:11.123Z', 'Sun, 29 Nov 2026, 14:03:11.123 UTC+1'],
  ['Europe/Berlin', '2026-06-29T12:03:11.123Z', 'Mon, 29 Jun 2026, 14:03:11.123 UTC+2'],
  ['Asia/Kolkata', '2026-11-29T20:03:11.123Z', 'Mon, 30 Nov 2026, 01:33:11.123 UTC+5:30'],
  ['Asia/Kathmandu', '2026-11-29T13:03:11.123Z', 'Sun, 29 Nov 2026, 18:48:11.123 UTC+5:45'],
  ['America/St_Johns', '2026-11-29T01:03:11.123Z', 'Sat, 28 Nov 2026, 21:33:11.123 UTC−3:30'],
])('in %s a time has its date and its offset', (name, time, text) => {
  process.env.TZ = name;
  expect(fullTime(at(time))).toBe(text);
  setUtc(true);
  expect(fullTime(at(time))).toBe(`${new Date(time).toUTCString().slice(0, 16)}, ${time.slice(11, 23)} UTC`);
});

it('reads back every time that it writes, in each zone, also at the changes of summer time', () => {
  const names = ['UTC', 'Europe/Berlin', 'Asia/Kolkata', 'Asia/Kathmandu', 'America/St_Johns', 'Australia/Lord_Howe'];
  for (const name of names) {
    process.env.TZ = name;
    const wrong: string[] = [];
    for (let time = at('2026-01-01T00:07:00Z'); time < at('2027-01-01T00:00:00Z'); time += 41 * 60_000) {
      const back = fromWallText(wallText(time));
      // Of the two times that one text means in autumn, it is the first.
      const first = time === back || (time > back && zoneName(back) !== zoneName(time));
      if (!first || wallText(back) !== wallText(time)) wrong.push(wallText(time));
    }
    expect(wrong, name).toEqual([]);
  }
});

it('the hour that summer time skips is read as the one after it', () => {
  process.env.TZ = 'Europe/Berlin';
  expect(new Date(fromWallText('2026-03-29T02:30:00')).toISOString()).toBe('2026-03-29T01:30:00.000Z');
  expect(new Date(fromWallText('2026-10-25T02:30:00')).toISOString()).toBe('2026-10-25T00:30:00.000Z');
  expect(fromWallText('nonsense')).toBeNaN();
});

it('two times are of one day by the chosen zone', () => {
  process.env.TZ = 'Asia/Kathmandu';
  expect(sameDay(at('2026-11-29T18:10:00Z'), at('2026-11-29T18:20:00Z'))).toBe(false);
  setUtc(true);
  expect(sameDay(at('2026-11-29T18:10:00Z'), at('2026-11-29T18:20:00Z'))).toBe(true);
});

it.each([
  ['Asia/Kathmandu', '2026-11-29T10:00:00Z', '2026-11-29T12:00:00Z', '16:00 16:30 17:00 17:30'],
  ['Asia/Kolkata', '2026-11-29T10:05:00Z', '2026-11-29T12:00:00Z', '16:00 16:30 17:00 17:30'],
  // The clock goes from 02:00 to 03:00, and from 03:00 back to 02:00.
  ['Europe/Berlin', '2026-03-28T23:00:00Z', '2026-03-29T03:00:00Z', '00:00 01:00 03:00 04:00 05:00'],
  ['Europe/Berlin', '2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z', '02:30 02:40 02:50 02:00 02:10 02:20 02:30'],
  ['Europe/Berlin', '2026-10-23T22:00:00Z', '2026-10-26T23:00:00Z', '00:00 00:00 00:00 00:00'],
])('the axis has round times in %s', (name, from, to, ticks) => {
  process.env.TZ = name;
  expect(ticksOf(at(from), at(to), 6).map(shortTime).join(' ')).toBe(ticks);
});
