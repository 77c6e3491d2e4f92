import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { axisLabels, axisWidth } from '@/overview/axis';
import { THEME_CHANGED } from '@/shell/theme';
import { shortDay, shortTime } from '@/ui/format';
import { colourOf } from './measures';

const FONT = '11px "Geist Variable", system-ui, sans-serif';
const DAY_SECS = 86_400;

/** Returns a colour for the canvas. */
function colour(value: string): string {
  const probe = document.createElement('span');
  probe.style.color = value;
  document.body.append(probe);
  const resolved = getComputedStyle(probe).color;
  probe.remove();
  return resolved;
}

/** Values over time: bars for one series, lines for several. An unknown value is a hole. */
export default function UsagePlot({
  at,
  series,
}: {
  /** Beginnings in unix milliseconds. */
  at: number[];
  series: { name: string; values: (number | null)[] }[];
}) {
  const box = useRef<HTMLDivElement>(null);
  const names = series.map(({ name }) => name).join('\n');
  const data = useRef({ at, series });
  data.current = { at, series };
  const plot = useRef<uPlot | null>(null);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a chart with other series is another chart
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const axis: uPlot.Axis = {
      stroke: () => colour('var(--ink-3)'),
      grid: { stroke: () => colour('var(--line)'), width: 1 },
      ticks: { show: false },
      font: FONT,
    };
    const step = () => {
      const { at } = data.current;
      return at.length > 1 ? ((at.at(-1) ?? 0) - (at[0] ?? 0)) / (at.length - 1) / 1_000 : 900;
    };
    const chart = new uPlot(
      {
        width: element.clientWidth,
        height: element.clientHeight,
        legend: { show: false },
        cursor: { y: false, points: { show: false } },
        scales: {
          x: { time: true, range: (_, low, high) => [low - step() / 2, high + step() / 2] },
          y: { range: (_, _low, high) => [0, Math.max(1, (high ?? 0) * 1.1)] },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            space: 80,
            size: 26,
            values: (u, secs) => {
              const long = (u.scales.x?.max ?? 0) - (u.scales.x?.min ?? 0) > 2 * DAY_SECS;
              return secs.map((one) => (long ? shortDay(one * 1_000) : shortTime(one * 1_000)));
            },
          },
          { ...axis, size: (_, labels) => axisWidth(labels), space: 32, values: (_, values) => axisLabels(values) },
        ],
        series: [
          {},
          ...data.current.series.map(
            ({ name }, n): uPlot.Series =>
              data.current.series.length === 1
                ? {
                    label: name,
                    fill: () => colour(colourOf(n)),
                    width: 0,
                    points: { show: false },
                    paths: uPlot.paths.bars?.({ size: [0.8, 40], radius: 0.1 }),
                  }
                : { label: name, stroke: () => colour(colourOf(n)), width: 1.5, points: { show: false } },
          ),
        ],
      },
      [[], ...data.current.series.map(() => [])],
      element,
    );
    plot.current = chart;
    const resize = new ResizeObserver(() =>
      chart.setSize({ width: element.clientWidth, height: element.clientHeight }),
    );
    resize.observe(element);
    const redraw = () => chart.redraw(false);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', redraw);
    window.addEventListener(THEME_CHANGED, redraw);
    return () => {
      resize.disconnect();
      dark.removeEventListener('change', redraw);
      window.removeEventListener(THEME_CHANGED, redraw);
      chart.destroy();
      plot.current = null;
    };
  }, [names]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new chart has no data yet
  useEffect(() => {
    plot.current?.setData([at.map((one) => one / 1_000), ...series.map(({ values }) => values)]);
  }, [at, series, names]);

  return <div ref={box} className="h-full" />;
}
