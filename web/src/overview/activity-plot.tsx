import type { ActivityPoint } from '@roomwatch/react';
import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { shortTime } from '@/ui/format';
import { axisLabels, axisWidth } from './axis';
import { axisStyle, colour, keep } from './plot';

const STEP_SECS = 60;

function bars(name: string, label: string): uPlot.Series {
  return {
    label,
    fill: () => colour(`var(${name})`),
    width: 0,
    points: { show: false },
    paths: uPlot.paths.bars?.({ size: [0.72, 14], radius: 0.2 }),
  };
}

/** Shades the minutes without data: no bar there does not mean that nothing happened. */
function shadeUnknown({ ctx, bbox, valToPos }: uPlot, points: ActivityPoint[]) {
  const known = points.findIndex((point) => point.rooms !== null);
  const first = points[known];
  if (known === 0) return;
  const edge = first ? valToPos(first.at / 1_000 - STEP_SECS / 2, 'x', true) : bbox.left + bbox.width;
  ctx.save();
  ctx.fillStyle = colour('var(--sunken)');
  ctx.fillRect(bbox.left, bbox.top, Math.max(0, edge - bbox.left), bbox.height);
  ctx.restore();
}

/** Joins upwards and leaves downwards, on one scale. */
export default function ActivityPlot({
  points,
  onPoint,
}: {
  points: ActivityPoint[];
  /** Called with the index of the point under the pointer, or null. */
  onPoint: (index: number | null) => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  const latest = useRef(onPoint);
  latest.current = onPoint;
  const plot = useRef<uPlot | null>(null);
  const data = useRef(points);

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const chart = new uPlot(
      {
        width: element.clientWidth,
        height: element.clientHeight,
        legend: { show: false },
        cursor: { y: false, points: { show: false } },
        hooks: {
          setCursor: [(u) => latest.current(u.cursor.idx ?? null)],
          drawClear: [(u) => shadeUnknown(u, data.current)],
        },
        scales: {
          // Half a step more on each side, so that the first and last bar are whole.
          x: { time: true, range: (_, low, high) => [low - STEP_SECS / 2, high + STEP_SECS / 2] },
          y: {
            range: (_, low, high) => [
              Math.floor(Math.min(0, low ?? 0) * 1.15) || -1,
              Math.ceil(Math.max(0, high ?? 0) * 1.15) || 1,
            ],
          },
        },
        axes: [
          {
            ...axisStyle,
            grid: { show: false },
            space: 70,
            size: 26,
            values: (_, at) => at.map((secs) => shortTime(secs * 1_000)),
          },
          {
            ...axisStyle,
            size: (_, labels) => axisWidth(labels),
            space: 32,
            // Whole numbers only.
            incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000],
            values: (_, values) => axisLabels(values),
          },
        ],
        series: [{}, bars('--chart-1', 'Joins'), bars('--chart-2', 'Leaves')],
      },
      [[], [], []],
      element,
    );
    plot.current = chart;
    const remove = keep(chart, element);
    return () => {
      remove();
      plot.current = null;
    };
  }, []);

  useEffect(() => {
    data.current = points;
    plot.current?.setData([
      points.map((point) => point.at / 1_000),
      // A bar of height zero would be drawn as a dash.
      points.map((point) => point.joins || null),
      points.map((point) => -point.leaves || null),
    ]);
  }, [points]);

  return <div ref={box} className="activity-plot h-full" />;
}
