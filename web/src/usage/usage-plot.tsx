import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { axisLabels, axisWidth } from '@/overview/axis';
import { axisStyle, colour, keep } from '@/overview/plot';
import { shortDay, shortTime } from '@/ui/format';
import { colourOf } from './measures';

const DAY_SECS = 86_400;

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
            ...axisStyle,
            grid: { show: false },
            space: 80,
            size: 26,
            values: (u, secs) => {
              const long = (u.scales.x?.max ?? 0) - (u.scales.x?.min ?? 0) > 2 * DAY_SECS;
              return secs.map((one) => (long ? shortDay(one * 1_000) : shortTime(one * 1_000)));
            },
          },
          {
            ...axisStyle,
            size: (_, labels) => axisWidth(labels),
            space: 32,
            values: (_, values) => axisLabels(values),
          },
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
    const remove = keep(chart, element);
    return () => {
      remove();
      plot.current = null;
    };
  }, [names]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new chart has no data yet
  useEffect(() => {
    plot.current?.setData([at.map((one) => one / 1_000), ...series.map(({ values }) => values)]);
  }, [at, series, names]);

  return <div ref={box} className="h-full" />;
}
