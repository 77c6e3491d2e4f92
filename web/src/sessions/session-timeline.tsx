import type { SessionDetail } from '@roomwatch/react';
import { Link, useNavigate } from '@tanstack/react-router';
import { ChevronLeft, ChevronRight, ZoomIn, ZoomOut } from 'lucide-react';
import { type PointerEvent, useMemo, useRef, useState } from 'react';
import { buttonClass, IconButton } from '@/ui/button';
import { cx } from '@/ui/cx';
import { clockTime, shortDay } from '@/ui/format';
import { sameDay } from '@/ui/zone';
import { ParticipantLane, RecordingLane } from './lanes';
import { Legend } from './legend';
import { Moment, momentText } from './moment';
import { useSomeRows } from './some-rows';
import { changesOf, sidAt, ticksOf, timelineOf } from './timeline';
import { useSettledView, useZoom, type View, ZOOM_MAX } from './use-zoom';

/** Maximum labels of the axis, on a wide and on a narrow screen. */
const TICKS = { wide: 7, narrow: 3 };
const NARROW = matchMedia('(max-width: 47.99rem)');

/**
 * The session as a drawing: a lane for each participant, a bar for each stay, and below it the published tracks. A
 * slider moves the moment, which is also described in words. The table has the same facts.
 */
export function SessionTimeline({
  detail,
  now,
  initial = { moment: null, zoom: 1 },
  onView,
}: {
  detail: SessionDetail;
  now: number;
  initial?: View;
  /** Called after a change of the view. */
  onView?: (view: View) => void;
}) {
  const { session, egress } = detail;
  const timeline = useMemo(() => timelineOf(detail, now), [detail, now]);
  const changes = useMemo(() => changesOf(timeline), [timeline]);
  const { from, to, lanes } = timeline;
  const { shown, more } = useSomeRows(lanes.length);
  const [moment, setMoment] = useState(initial.moment);
  const [pointed, setPointed] = useState<number | null>(null);
  const area = useRef<HTMLDivElement>(null);
  const { zoom, scroller, zoomBy, width } = useZoom(area, initial, { from, to, moment });
  useSettledView({ moment, zoom }, initial, onView);
  const navigate = useNavigate();
  const part = (at: number) => `${(100 * (at - from)) / (to - from)}%`;
  const ticks = ticksOf(from, to, (NARROW.matches ? TICKS.narrow : TICKS.wide) * zoom);
  const days = !sameDay(from, to);

  const timeAt = (event: { clientX: number }) => {
    const box = area.current?.getBoundingClientRect();
    if (!box || event.clientX < box.left) return null;
    return Math.round(Math.min(to, from + ((event.clientX - box.left) / box.width) * (to - from)));
  };
  const step = (direction: 1 | -1) => {
    const at = moment ?? (direction > 0 ? from - 1 : to + 1);
    const next = direction > 0 ? changes.find((one) => one > at) : changes.findLast((one) => one < at);
    if (next !== undefined) setMoment(next);
  };
  const events = (at: number) => ({ room: session.room, project: session.project, t: at, sid: sidAt(timeline, at) });

  return (
    <div>
      <div className="flex flex-wrap items-center gap-x-2 gap-y-1.5 border-b border-line px-4 py-2">
        <IconButton label="Previous change" onClick={() => step(-1)}>
          <ChevronLeft size={15} />
        </IconButton>
        <IconButton label="Next change" onClick={() => step(1)}>
          <ChevronRight size={15} />
        </IconButton>
        <div className="min-w-0 max-md:order-last max-md:w-full md:flex-1">
          <Moment timeline={timeline} egress={egress} at={moment} />
        </div>
        <span className="ml-auto flex items-center gap-1">
          {moment !== null ? (
            <>
              <Link
                to="/rooms/$room"
                params={{ room: session.room }}
                search={{ project: session.project, at: moment }}
                className={buttonClass('outline', 'h-7')}
              >
                Room at {clockTime(moment)}
              </Link>
              <Link to="/events" search={events(moment)} className={buttonClass('outline', 'h-7')}>
                Events at {clockTime(moment)}
              </Link>
            </>
          ) : null}
          <IconButton label="Zoom out" reason={zoom === 1 ? 'All of it is in view' : null} onClick={() => zoomBy(0.5)}>
            <ZoomOut size={15} />
          </IconButton>
          <IconButton
            label="Zoom in"
            reason={zoom === ZOOM_MAX ? 'This is the closest view' : null}
            onClick={() => zoomBy(2)}
          >
            <ZoomIn size={15} />
          </IconButton>
        </span>
      </div>

      <section
        ref={scroller}
        className="relative max-h-[70dvh] overflow-auto overscroll-x-contain"
        aria-label="Timeline"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must scroll by keys too
        tabIndex={0}
      >
        {/* biome-ignore lint/a11y/noStaticElementInteractions: the slider below does the same by keyboard */}
        {/* biome-ignore lint/a11y/useKeyWithClickEvents: the slider below does the same by keyboard */}
        <div
          className="relative grid min-w-full grid-cols-[11rem_minmax(0,1fr)] max-md:grid-cols-[7rem_minmax(0,1fr)]"
          style={{ width: zoom === 1 ? undefined : `${zoom * 100}%` }}
          onPointerMove={(event: PointerEvent) => event.pointerType === 'mouse' && setPointed(timeAt(event))}
          onPointerLeave={() => setPointed(null)}
          onClick={(event) => {
            const at = timeAt(event);
            if (at !== null && event.target instanceof Element && !event.target.closest('input')) setMoment(at);
          }}
          onDoubleClick={(event) => {
            const at = timeAt(event);
            if (at !== null) navigate({ to: '/events', search: events(at) });
          }}
        >
          <div className="sticky top-0 left-0 z-20 h-8 border-r border-b border-line bg-surface" />
          <div ref={area} className="sticky top-0 z-10 h-8 border-b border-line bg-surface">
            {ticks.map((at) => (
              <span
                key={at}
                aria-hidden
                className="num absolute top-0 h-full border-l border-line pt-1.5 pl-1.5 text-[0.6875rem] whitespace-nowrap text-ink-3 last:max-w-16"
                style={{ left: part(at) }}
              >
                {days ? `${shortDay(at)} ` : ''}
                {clockTime(at).replace(/:00$/, '')}
              </span>
            ))}
            <input
              type="range"
              aria-label="Moment"
              aria-valuetext={moment === null ? 'none chosen' : momentText(timeline, moment)}
              min={from}
              max={to}
              step={Math.max(1, Math.round((to - from) / 400))}
              value={moment ?? from}
              onChange={(event) => setMoment(Number(event.target.value))}
              className="absolute inset-0 h-full w-full cursor-crosshair opacity-0"
            />
          </div>

          {egress.map((one) => (
            <RecordingLane key={one.egressId} egress={one} from={from} to={to} />
          ))}
          {lanes.slice(0, shown).map((lane) => (
            <ParticipantLane
              key={lane.identity}
              lane={lane}
              project={detail.session.project}
              from={from}
              to={to}
              scale={width / (to - from)}
            />
          ))}

          {/* Lines over everything: the pointer and the chosen moment. */}
          <div
            aria-hidden
            className="pointer-events-none absolute inset-y-0 right-0 left-44 z-10 overflow-hidden max-md:left-28"
          >
            {pointed !== null ? (
              <span
                className="absolute inset-y-0 border-l border-dashed border-control"
                style={{ left: part(pointed) }}
              >
                <span
                  className={cx(
                    'num sticky top-9 rounded bg-solid px-1 text-[0.6875rem] whitespace-nowrap text-on-solid',
                    (pointed - from) / (to - from) > 0.9 ? '-ml-14' : 'ml-1',
                  )}
                >
                  {clockTime(pointed)}
                </span>
              </span>
            ) : null}
            {moment !== null ? (
              <span className="absolute inset-y-0 border-l-2 border-accent" style={{ left: part(moment) }} />
            ) : null}
          </div>
        </div>
      </section>
      {more}
      <Legend />
    </div>
  );
}
