import { parseCursor } from '@roomwatch/react';
import { fromWall, toWall } from '@/ui/zone';

const DAY_MS = 86_400_000;
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const UNITS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: DAY_MS };

const CLOCK = /^(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3}))?)?$/;
const DATE = /^(\d{4})-(\d{1,2})-(\d{1,2})$/;
const DAY_MONTH = /^(\d{1,2})\.? ([a-z]{3})[a-z]*\.?(?: (\d{4}))?$/;
const AGO = /^(\d{1,4}) ?(s|m|h|d)(?:ec|in|our|ay|econd|inute)?s? ago$/;
const ZONE = /(?: ?utc| ?gmt| ?z| (?=[+−-]))(?:([+−-])(\d{1,2})(?::?([0-5]\d))?)?$/;

/**
 * Reads a moment in plain writing: "14:03", "yesterday 14:03:11", "29 Nov 14:03", "2026-11-29 14:03 UTC+1", "5 min ago",
 * unix milliseconds, or a cursor. A time without a date is its latest occurrence. Returns null for any other text.
 */
export function readMoment(text: string, now: number): number | string | null {
  const typed = text.trim().toLowerCase().replace(/\s+/g, ' ');
  if (parseCursor(typed)) return typed;
  if (/^\d{12,14}$/.test(typed)) return Number(typed);
  if (typed === 'now') return now;
  const ago = AGO.exec(typed);
  if (ago) return now - Number(ago[1]) * (UNITS[ago[2] ?? ''] ?? 0);

  const zone = ZONE.exec(typed);
  const minutes = zone
    ? (Number(zone[2] ?? 0) * 60 + Number(zone[3] ?? 0)) * (zone[1] === '+' || !zone[1] ? 1 : -1)
    : 0;
  if (Math.abs(minutes) > 14 * 60) return null;
  const wallOf = zone ? (at: number) => at + minutes * 60_000 : toWall;
  const timeOf = zone ? (wall: number) => wall - minutes * 60_000 : fromWall;
  const words = (zone ? typed.slice(0, zone.index) : typed)
    .replace(/^(\d{4}-\d{1,2}-\d{1,2})t/, '$1 ')
    .replace(',', '');

  const cut = words.lastIndexOf(' ');
  const clock = clockOf(words.slice(cut + 1));
  if (clock === null) return null;
  const today = Math.floor(wallOf(now) / DAY_MS) * DAY_MS;
  const day = words.slice(0, Math.max(0, cut)).replace(/ at$/, '');
  if (day === '' || day === 'at') {
    const at = timeOf(today + clock);
    return at <= now ? at : timeOf(today - DAY_MS + clock);
  }
  const date = dateOf(day, today);
  return date === null ? null : timeOf(date + clock);
}

/** "14:03" as milliseconds of a day. */
function clockOf(text: string): number | null {
  const [, hours, minutes, seconds = '0', parts = '0'] = CLOCK.exec(text) ?? [];
  if (hours === undefined || Number(hours) > 23 || Number(minutes) > 59 || Number(seconds) > 59) return null;
  return ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1_000 + Number(parts.padEnd(3, '0'));
}

/** "yesterday", "29 nov" or "2026-11-29" as its midnight on the wall. A day without a year is the latest one. */
function dateOf(text: string, today: number): number | null {
  if (text === 'today') return today;
  if (text === 'yesterday') return today - DAY_MS;
  const full = DATE.exec(text);
  if (full) return midnight(Number(full[1]), Number(full[2]) - 1, Number(full[3]));
  const short = DAY_MONTH.exec(text);
  const month = MONTHS.indexOf(short?.[2] ?? '');
  if (!short || month < 0) return null;
  if (short[3]) return midnight(Number(short[3]), month, Number(short[1]));
  const year = new Date(today).getUTCFullYear();
  const date = midnight(year, month, Number(short[1]));
  return date === null || date > today ? midnight(year - 1, month, Number(short[1])) : date;
}

function midnight(year: number, month: number, day: number): number | null {
  const at = Date.UTC(year, month, day);
  const date = new Date(at);
  // 31 February is not a day.
  return date.getUTCMonth() === month && date.getUTCDate() === day ? at : null;
}

/** Takes "Who was in standup at 14:03?" apart. Names can contain "at": the rest must be a moment. The room is null in "14:03". */
export function readQuestion(text: string, now: number): { room: string | null; at: number | string | null } {
  const asked = text.trim().replace(/\s*\?$/, '');
  const about = asked.replace(/^who (?:was|is) in (?:the room )?/i, '');
  for (const { index } of about.matchAll(/ at /gi)) {
    const at = readMoment(about.slice(index + 4), now);
    if (at !== null && readMoment(about, now) === null) return { room: about.slice(0, index).trim(), at };
  }
  return { room: null, at: readMoment(asked, now) };
}
