import { useRoomwatch } from '@roomwatch/react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useEffect, useMemo, useRef, useState } from 'react';
import { ticksOf } from '@/sessions/timeline';
import { clockTime, plural, shortDay } from '@/ui/format';
import { sameDay, zoneName } from '@/ui/zone';
import { type Range, zoomed } from './range';
import { useReplay } from './replay-context';

const MINUTE_MS = 60_000;
/** Maximum bars of the density. */
const BARS = 120;
/** Range below which each event has its own mark: the bars are minutes. */
const MARKS_MS = 30 * MINUTE_MS;
const MARKS_MAX = 600;
/** Zoom of one pixel of the wheel. */
const WHEEL_ZOOM = 0.004;
const TICKS = matchMedia('(max-width: 47.99rem)').matches ? 4 : 8;

/** The density of joins and leaves over a range, with a slider for the moment. */
export function Scrubber({
  range,
  moment,
  room,
  project,
  loading,
  onSeek,
  onRange,
}: {
  range: Range;
  moment: number;
  room: string | undefined;
  project: string | undefined;
  /** True while a state is fetched: the newest wish of the slider waits for it. */
  loading: boolean;
  onSeek: (at: number) => void;
  onRange: (range: Range) => void;
}) {
  const { client } = useRoomwatch();
  const { past, next } = useReplay();
  const { from, to } = range;
  const step = Math.max(1, Math.ceil((to - from) / BARS / MINUTE_MS)) * MINUTE_MS;
  // Whole steps, so that a range that moves by seconds asks for nothing.
  const [start, end] = [Math.floor(from / step) * step, Math.ceil(to / step) * step];
  const { data } = useQuery({
    queryKey: ['activity', 'past', room, project, start, end],
    queryFn: ({ signal }) => client.activity({ from: start, to: end, step, room, project }, signal),
    enabled: start < Date.now(),
    placeholderData: keepPreviousData,
    staleTime: 30_000,
  });
  const part = (at: number) => `${(100 * (at - from)) / (to - from)}%`;
  const points = data?.points ?? [];
  const most = points.reduce((max, { joins, leaves }) => Math.max(max, joins + leaves), 1);
  const marks = useMemo(
    () => (to - from > MARKS_MS ? [] : [...past, ...next].filter(({ timestamp: at }) => at >= from && at <= to)),
    [past, next, from, to],
  );

  const [dragged, setDragged] = useState<number | null>(null);
  const wish = useRef<number | null>(null);
  const seek = (at: number) => {
    setDragged(at);
    if (loading) wish.current = at;
    else onSeek(at);
  };
  const latest = useRef({ onSeek, onRange, range, moment });
  latest.current = { onSeek, onRange, range, moment };
  useEffect(() => {
    if (loading) return;
    const wanted = wish.current;
    wish.current = null;
    if (wanted === null) setDragged(null);
    else latest.current.onSeek(wanted);
  }, [loading]);
  // The slider is where it was dragged to until the state of that moment is there.
  // biome-ignore lint/correctness/useExhaustiveDependencies: each move of the moment ends the drag
  useEffect(() => setDragged(null), [moment]);

  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const onWheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return;
      // Else the browser would zoom the page. React's own listener is passive and cannot prevent that.
      event.preventDefault();
      const { left, width } = element.getBoundingClientRect();
      const { range: now, onRange: change } = latest.current;
      const pointed = now.from + ((event.clientX - left) / width) * (now.to - now.from);
      change(zoomed(now, Math.exp(event.deltaY * WHEEL_ZOOM), pointed));
    };
    element.addEventListener('wheel', onWheel, { passive: false });
    return () => element.removeEventListener('wheel', onWheel);
  }, []);

  const at = dragged ?? moment;
  const days = !sameDay(from, to) || to - from > 12 * 60 * MINUTE_MS;
  const total = points.reduce((sum, { joins, leaves }) => sum + joins + leaves, 0);
  return (
    <div className="px-3 pt-2 pb-1">
      <div ref={box} className="relative h-12 overflow-hidden rounded-sm bg-sunken">
        <div aria-hidden className="absolute inset-0">
          {points.map((point) => (
            <span
              key={point.at}
              className={
                point.rooms === null && point.joins + point.leaves === 0
                  ? 'absolute bottom-0 h-full bg-canvas'
                  : 'absolute bottom-0 bg-(--chart-1)/60'
              }
              title={point.rooms === null ? 'No data' : undefined}
              style={{
                left: part(point.at),
                width: `max(1px, calc(${(100 * step) / (to - from)}% - 1px))`,
                height:
                  point.rooms === null && point.joins + point.leaves === 0
                    ? undefined
                    : `${(92 * (point.joins + point.leaves)) / most}%`,
              }}
            />
          ))}
          {marks.slice(0, MARKS_MAX).map(({ cursor, timestamp }) => (
            <span key={cursor} className="absolute top-0 h-2 w-px bg-ink-2" style={{ left: part(timestamp) }} />
          ))}
          <span className="absolute inset-y-0 -ml-px w-0.5 bg-warn-fill" style={{ left: part(at) }} />
        </div>
        <input
          type="range"
          aria-label="Moment"
          aria-valuetext={`${shortDay(at)} ${clockTime(at)} ${zoneName(at)}`}
          min={Math.floor(from)}
          max={Math.ceil(to)}
          step={Math.max(1, Math.round((to - from) / 1_000))}
          value={at}
          onChange={(event) => seek(Math.min(Date.now(), Number(event.target.value)))}
          className="absolute inset-0 h-full w-full cursor-crosshair opacity-0"
        />
      </div>
      <div aria-hidden className="num relative h-5 overflow-hidden text-[0.6875rem] text-ink-3">
        {ticksOf(from, to, TICKS).map((tick) => (
          <span
            key={tick}
            className="absolute top-0 border-l border-line pl-1 whitespace-nowrap"
            style={{ left: part(tick) }}
          >
            {days ? `${shortDay(tick)} ` : ''}
            {clockTime(tick).replace(/:00$/, '')}
          </span>
        ))}
      </div>
      <p className="text-xs text-ink-3">
        {data ? `${plural(total, 'join or leave', 'joins and leaves')} in view` : '\u00a0'}
        {marks.length > 0 ? ` · ${plural(marks.length, 'event')} marked` : ''} · {zoneName(at)}
      </p>
    </div>
  );
}
