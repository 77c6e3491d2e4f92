import { useSyncExternalStore } from 'react';
import { ago, clockTime, duration, fullTime, shortDay, shortTime } from './format';

/**
 * One clock for the whole page: a second a tick, stopped while nobody looks. A thousand ages on the page cost one timer,
 * and they all change in the same frame.
 */
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

function tick() {
  now = Date.now();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  if (!timer) {
    now = Date.now();
    timer = setInterval(tick, 1_000);
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** Unix milliseconds, a second a step. */
export const useNow = () => useSyncExternalStore(subscribe, () => now);

/** "4 m ago", with the full time as its title. */
export function Ago({ at }: { at: number }) {
  return (
    <time dateTime={new Date(at).toISOString()} title={fullTime(at)} className="num whitespace-nowrap">
      {ago(at, useNow())}
    </time>
  );
}

/** How long something has lasted: "1 h 04 m". */
export function Age({ since, until }: { since: number; until?: number | null }) {
  const at = useNow();
  return (
    <time dateTime={new Date(since).toISOString()} title={`since ${fullTime(since)}`} className="num whitespace-nowrap">
      {duration((until ?? at) - since)}
    </time>
  );
}

/** "14:03:22", with the date and milliseconds as its title. */
export const Clock = ({ at }: { at: number }) => (
  <time dateTime={new Date(at).toISOString()} title={fullTime(at)} className="num whitespace-nowrap">
    {clockTime(at)}
  </time>
);

/** "23 Nov, 14:03", with the full time as its title: for what may be long ago. */
export const DayTime = ({ at }: { at: number }) => (
  <time dateTime={new Date(at).toISOString()} title={fullTime(at)} className="num whitespace-nowrap">
    {shortDay(at)}, {shortTime(at)}
  </time>
);
