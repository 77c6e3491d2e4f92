import { toWall, zoneName } from './zone';

const number = new Intl.NumberFormat('en');
/** Formats times that {@link toWall} has moved into the chosen zone. */
const formatter = (options: Intl.DateTimeFormatOptions) => {
  const { format } = new Intl.DateTimeFormat('en-GB', { ...options, timeZone: 'UTC' });
  return (at: number) => format(toWall(at));
};
const clock = formatter({ hour: '2-digit', minute: '2-digit', second: '2-digit' });
const shortClock = formatter({ hour: '2-digit', minute: '2-digit' });
const day = formatter({ day: 'numeric', month: 'short' });
const full = formatter({
  weekday: 'short',
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
});

/** 12345 → "12,345". */
export const count = (value: number) => number.format(value);

/** 12_400_000_000 → "12 GB". Units of 1,000, as disks are sold. */
export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  const scaled = value / 1_000 ** power;
  return `${number.format(scaled < 10 && power > 0 ? Math.round(scaled * 10) / 10 : Math.round(scaled))} ${units[power]}`;
}

/** "1 room", "2 rooms". */
export const plural = (value: number, one: string, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/**
 * Returns at most two units, the smaller one with two digits so that a ticking column does not jitter: "9s", "4m 07s",
 * "1h 04m", "3d 02h".
 */
export function duration(millis: number): string {
  const secs = Math.max(0, Math.floor(millis / 1_000));
  if (secs < 60) return `${secs}s`;
  const two = (value: number) => String(value).padStart(2, '0');
  const mins = Math.floor(secs / 60);
  if (mins < 60) return `${mins}m ${two(secs % 60)}s`;
  const hours = Math.floor(mins / 60);
  if (hours < 24) return `${hours}h ${two(mins % 60)}m`;
  return `${Math.floor(hours / 24)}d ${two(hours % 24)}h`;
}

/** Returns one unit: "just now", "42s ago", "4m ago". A time in the future (clocks differ) is "just now". */
export function ago(at: number, now: number): string {
  const secs = Math.floor((now - at) / 1_000);
  if (secs < 2) return 'just now';
  if (secs < 60) return `${secs}s ago`;
  if (secs < 3_600) return `${Math.floor(secs / 60)}m ago`;
  if (secs < 86_400) return `${Math.floor(secs / 3_600)}h ago`;
  return `${Math.floor(secs / 86_400)}d ago`;
}

/** "14:03:22" */
export const clockTime = clock;
/** "14:03" */
export const shortTime = shortClock;
/** "23 Nov" */
export const shortDay = day;
/** "23 Nov, 14:03" */
export const dayTime = (at: number) => `${day(at)}, ${shortClock(at)}`;
/** "Mon, 23 Nov 2026, 14:03:22.123 UTC+1" */
export const fullTime = (at: number) => `${full(at)} ${zoneName(at)}`;

/** "participant_joined" → "participant joined". It works for unknown names too. */
export const words = (name: string) => name.replaceAll('_', ' ').toLowerCase();
