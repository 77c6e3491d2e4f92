import { useSyncExternalStore } from 'react';
import { recall, remember } from './storage';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

let utc = recall('utc') === 'on';
const listeners = new Set<() => void>();

/** Shows all times in UTC, or in the zone of the browser. */
export function setUtc(on: boolean) {
  utc = on;
  remember('utc', on ? 'on' : null);
  for (const listener of listeners) listener();
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
};

export const useUtc = () => useSyncExternalStore(subscribe, () => utc);

/** Returns the distance of the zone to UTC at a time. It differs within a year. */
const offset = (at: number) => (utc ? 0 : -new Date(at).getTimezoneOffset() * MINUTE_MS);

/** Returns a time as the clock on the wall shows it: unix milliseconds as if the zone were UTC. */
export const toWall = (at: number) => at + offset(at);

/** Returns the time at which the clock on the wall shows this: the first of two, and one that is near if none does. */
export function fromWall(wall: number): number {
  const offsets = [offset(wall - DAY_MS), offset(wall + DAY_MS)];
  const early = wall - Math.max(...offsets);
  return toWall(early) === wall ? early : wall - Math.min(...offsets);
}

/** "UTC", "UTC+1", "UTC−3:30", "UTC+5:45". */
export function zoneName(at: number): string {
  const minutes = Math.round(offset(at) / MINUTE_MS);
  if (minutes === 0) return 'UTC';
  const rest = Math.abs(minutes) % 60;
  return `UTC${minutes > 0 ? '+' : '−'}${Math.floor(Math.abs(minutes) / 60)}${rest ? `:${String(rest).padStart(2, '0')}` : ''}`;
}

export const sameDay = (a: number, b: number) => Math.floor(toWall(a) / DAY_MS) === Math.floor(toWall(b) / DAY_MS);

/** "2026-11-29T14:03:11", for inputs of a time. */
export const wallText = (at: number) => new Date(toWall(at)).toISOString().slice(0, 19);

/** Reads the text of such an input. NaN if it is not a time. */
export const fromWallText = (text: string) => fromWall(Date.parse(`${text}Z`));
