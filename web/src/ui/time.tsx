import { useSyncExternalStore } from 'react';
import { ago, clockTime, duration, fullTime, shortDay, shortTime } from './format';
import { usePlace } from './place';

/**
 * One clock for the whole page. It ticks once a second and stops while the page is hidden. A thousand ages cost one
 * timer and change in the same frame.
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

/** Returns the time of the page in unix milliseconds: the present one in steps of a second, or a moment of the past. */
export function useNow() {
  const present = useSyncExternalStore(subscribe, () => now);
  return usePlace()?.moment ?? present;
}

/** "4m ago". The title is the full time. */
export function Ago({ at }: { at: number }) {
  return (
    <time dateTime={new Date(at).toISOString()} title={fullTime(at)} className="num whitespace-nowrap">
      {ago(at, useNow())}
    </time>
  );
}

/** A duration: "1h 04m". */
export function Age({ since, until }: { since: number; until?: number | null }) {
  const at = useNow();
  return (
    <time dateTime={new Date(since).toISOString()} title={`since ${fullTime(since)}`} className="num whitespace-nowrap">
      {duration((until ?? at) - since)}
    </time>
  );
}

/** "14:03:22". The title has the date and milliseconds. */
export const Clock = ({ at }: { at: number }) => (
  <time dateTime={new Date(at).toISOString()} title={fullTime(at)} className="num whitespace-nowrap">
    {clockTime(at)}
  </time>
);

/** "23 Nov, 14:03", for times that can be long ago. The title is the full time. */
export const DayTime = ({ at }: { at: number }) => (
  <time dateTime={new Date(at).toISOString()} title={fullTime(at)} className="num whitespace-nowrap">
    {shortDay(at)}, {shortTime(at)}
  </time>
);
