import type { Activity } from '@roomwatch/react';
import { ChartColumn, Table2 } from 'lucide-react';
import { useState } from 'react';
import { partFile } from '@/page-file';
import { IconButton } from '@/ui/button';
import { cx } from '@/ui/cx';
import { plural, shortTime } from '@/ui/format';
import { Panel } from '@/ui/panel';
import { ErrorState, Skeleton, Unknown } from '@/ui/states';

/** uPlot (21 KiB) is loaded after the first paint. */
const Plot = partFile(async () => (await import('./activity-plot')).default);

/** Returns the chart as one sentence, for screen readers. Of equal minutes it names the first. */
export function describeActivity({ points }: Activity): string {
  const joins = points.reduce((sum, point) => sum + point.joins, 0);
  const leaves = points.reduce((sum, point) => sum + point.leaves, 0);
  const busiest = points.reduce<Activity['points'][number] | null>(
    (best, point) => (point.joins > (best?.joins ?? 0) ? point : best),
    null,
  );
  const peak = busiest ? ` Most joins at ${shortTime(busiest.at)}: ${busiest.joins}.` : '';
  return `${plural(joins, 'join')} and ${plural(leaves, 'leave')}.${peak}`;
}

/** Joins and leaves by minute, as a chart or as a table. */
export function ActivityChart({
  activity,
  error,
  onRetry,
}: {
  activity: Activity | undefined;
  error: unknown;
  onRetry: () => void;
}) {
  const [table, setTable] = useState(false);
  const [at, setAt] = useState<number | null>(null);
  const point = at === null ? undefined : activity?.points[at];
  const quiet = activity?.points.every(({ joins, leaves }) => joins === 0 && leaves === 0);
  const unknown = activity?.points[0]?.rooms === null;
  const shade = unknown && !table && !quiet && <Key colour="border border-line-strong bg-sunken" name="No data" />;
  return (
    <Panel
      title={
        <>
          Joins and leaves{' '}
          <span className="num font-normal text-ink-3">{point ? shortTime(point.at) : 'last hour'}</span>
        </>
      }
      aside={
        <>
          {shade ? <span className="max-sm:hidden">{shade}</span> : null}
          <Key colour="bg-(--chart-1)" name="Joins" value={point?.joins} />
          <Key colour="bg-(--chart-2)" name="Leaves" value={point?.leaves} />
          <IconButton
            label={table ? 'Show as chart' : 'Show as table'}
            className="-my-0.5 -mr-2 !h-7 !w-7"
            onClick={() => setTable(!table)}
          >
            {table ? <ChartColumn size={14} /> : <Table2 size={14} />}
          </IconButton>
        </>
      }
      flush
      className="flex h-full flex-col"
    >
      <div className="flex h-full flex-col">
        <div className="relative min-h-52 grow">
          {!activity ? (
            error ? (
              <ErrorState error={error} compact onRetry={onRetry} />
            ) : (
              <Skeleton rows={6} />
            )
          ) : table ? (
            <ActivityTable activity={activity} />
          ) : quiet ? (
            <p className="absolute inset-0 grid place-items-center px-6 text-center text-ink-2">
              {unknown ? 'No joins or leaves yet.' : 'No joins or leaves in the last hour.'}
            </p>
          ) : (
            <div role="img" aria-label={describeActivity(activity)} className="absolute inset-0 px-2 pt-2">
              <Plot points={activity.points} onPoint={setAt} />
            </div>
          )}
        </div>
        {/* On a phone the legend does not fit beside the title. */}
        {shade ? <p className="px-4 pb-2.5 sm:hidden">{shade}</p> : null}
      </div>
    </Panel>
  );
}

function Key({ colour, name, value }: { colour: string; name: string; value?: number }) {
  return (
    <span className="num flex items-center gap-1.5 text-xs text-ink-2">
      <span aria-hidden className={cx('shape size-2 rounded-[2px]', colour)} /> {name} {value}
    </span>
  );
}

function ActivityTable({ activity }: { activity: Activity }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must scroll by keys too
    <section tabIndex={0} aria-label="Joins and leaves, minute by minute" className="absolute inset-0 overflow-auto">
      <table className="num w-full text-right">
        <thead className="sticky top-0 bg-surface text-xs text-ink-3">
          <tr>
            <th className="px-4 py-1 text-left font-normal">Minute</th>
            <th className="px-4 py-1 font-normal">Rooms</th>
            <th className="px-4 py-1 font-normal">People</th>
            <th className="px-4 py-1 font-normal">Joins</th>
            <th className="px-4 py-1 font-normal">Leaves</th>
          </tr>
        </thead>
        <tbody>
          {activity.points.toReversed().map((point) => (
            <tr key={point.at} className="border-t border-line">
              <th className="px-4 py-1 text-left font-normal">{shortTime(point.at)}</th>
              <td className="px-4 py-1">{point.rooms ?? <Unknown why="No data for this time" />}</td>
              <td className="px-4 py-1">{point.participants ?? <Unknown why="No data for this time" />}</td>
              <td className="px-4 py-1">{point.joins}</td>
              <td className="px-4 py-1">{point.leaves}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
