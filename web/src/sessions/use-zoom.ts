import { type RefObject, useEffect, useLayoutEffect, useRef, useState } from 'react';

export const ZOOM_MAX = 64;
/** Zoom of one pixel of the wheel. */
const WHEEL_ZOOM = 0.004;
/** Pause after which the view is reported: a slider moves many times a second. */
const SETTLE_MS = 300;

/** Part of the timeline that is looked at. */
export interface View {
  /** Unix milliseconds, or null if no moment is chosen. */
  moment: number | null;
  zoom: number;
}

/**
 * Zooms around a fixed time: that under the pointer with Ctrl and the wheel (which is also a pinch), else the chosen
 * moment, else the centre.
 */
export function useZoom(
  area: RefObject<HTMLDivElement | null>,
  initial: View,
  { from, to, moment }: { from: number; to: number; moment: number | null },
) {
  const scroller = useRef<HTMLElement>(null);
  const [zoom, setZoom] = useState(() => Math.min(ZOOM_MAX, Math.max(1, initial.zoom)));
  /** Width of the time axis in pixels. */
  const [width, setWidth] = useState(0);
  /** The time that keeps its place, and its distance from the left edge of the view. */
  const anchor = useRef<{ at: number; x: number } | null>(
    initial.moment === null ? null : { at: initial.moment, x: Number.NaN },
  );

  const zoomBy = (factor: number, pointedX?: number) => {
    const [box, axis] = [scroller.current, area.current];
    if (!box || !axis) return;
    const centre = (axis.offsetLeft + box.clientWidth) / 2;
    const timeAt = (x: number) => from + ((x + box.scrollLeft - axis.offsetLeft) / axis.offsetWidth) * (to - from);
    const xOf = (at: number) => axis.offsetLeft + ((at - from) / (to - from)) * axis.offsetWidth - box.scrollLeft;
    if (pointedX !== undefined) anchor.current = { at: timeAt(pointedX), x: pointedX };
    else if (moment === null) anchor.current = { at: timeAt(centre), x: centre };
    else {
      const x = xOf(moment);
      anchor.current = { at: moment, x: x >= axis.offsetLeft && x <= box.clientWidth ? x : centre };
    }
    setZoom((before) => Math.min(ZOOM_MAX, Math.max(1, Math.round(before * factor * 100) / 100)));
  };
  const latest = useRef(zoomBy);
  latest.current = zoomBy;

  // biome-ignore lint/correctness/useExhaustiveDependencies: the place is restored after each change of the zoom only
  useLayoutEffect(() => {
    const [box, axis] = [scroller.current, area.current];
    if (!box || !axis || !anchor.current) return;
    const { at, x } = anchor.current;
    anchor.current = null;
    const wanted = Number.isNaN(x) ? (axis.offsetLeft + box.clientWidth) / 2 : x;
    box.scrollLeft = axis.offsetLeft + ((at - from) / (to - from)) * axis.offsetWidth - wanted;
  }, [zoom]);

  useEffect(() => {
    const [box, axis] = [scroller.current, area.current];
    if (!box || !axis) return;
    const resize = new ResizeObserver(() => setWidth(axis.offsetWidth));
    resize.observe(axis);
    const onWheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return;
      // Else the browser would zoom the page. React's own listener is passive and cannot prevent that.
      event.preventDefault();
      latest.current(Math.exp(-event.deltaY * WHEEL_ZOOM), event.clientX - box.getBoundingClientRect().left);
    };
    box.addEventListener('wheel', onWheel, { passive: false });
    return () => {
      resize.disconnect();
      box.removeEventListener('wheel', onWheel);
    };
  }, [area]);

  return { zoom, scroller, zoomBy, width };
}

/** Reports the view when it has not changed for a moment. */
export function useSettledView(view: View, initial: View, onView?: (view: View) => void) {
  const latest = useRef(onView);
  latest.current = onView;
  const reported = useRef(initial);
  const { moment, zoom } = view;
  useEffect(() => {
    if (moment === reported.current.moment && zoom === reported.current.zoom) return;
    const timer = setTimeout(() => {
      reported.current = { moment, zoom };
      latest.current?.({ moment, zoom });
    }, SETTLE_MS);
    return () => clearTimeout(timer);
  }, [moment, zoom]);
}
