import { type Usage, type UsageNumbers, useMe, useRoomwatch } from '@roomwatch/react';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { ChartColumn, Download, Table2 } from 'lucide-react';
import { useMemo, useState } from 'react';
import { partFile } from '@/page-file';
import { Button, IconButton } from '@/ui/button';
import { cx } from '@/ui/cx';
import { save, saveText } from '@/ui/download';
import { Select } from '@/ui/field';
import { count, dayTime, plural } from '@/ui/format';
import { PageHeader, Panel } from '@/ui/panel';
import { ProjectSelect } from '@/ui/project-select';
import { Empty, ErrorState, Skeleton, Unknown } from '@/ui/states';
import { toast } from '@/ui/toast';
import { SPANS, timesOf } from '@/ui/when';
import { WhenFilter } from '@/ui/when-filter';
import { colourOf, DRAWN_MAX, MEASURE_NAMES, MEASURES, type MeasureName, momentOf, seriesName } from './measures';

/** uPlot (21 KiB) is loaded after the first paint. */
const Plot = partFile(async () => (await import('./usage-plot')).default);

const route = getRouteApi('/shell/usage');
const REFRESH_MS = 60_000;
/** Time between two questions while the history is still being counted. */
const COUNTING_MS = 3_000;
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Usage page: minutes, sessions, failures and peaks over time, from the history. */
export function UsagePage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { client } = useRoomwatch();
  const projects = useMe().data?.projects ?? [];
  const [exporting, setExporting] = useState(false);
  const isDated = search.from !== undefined || search.to !== undefined;
  const last = search.last ?? (isDated ? undefined : '7d');
  const measure = search.measure ?? 'participants';
  const set = (next: Partial<typeof search>) =>
    navigate({ search: (before) => ({ ...before, ...next }), replace: true, resetScroll: false });
  const asked = () => {
    const { from, to } = timesOf({ ...search, last }, Date.now());
    return { from, to, zone: ZONE, project: search.project, groupBy: search.by };
  };
  const query = useQuery({
    queryKey: ['usage', last, search.from, search.to, search.project, search.by],
    queryFn: ({ signal }) => client.usage(asked(), signal),
    placeholderData: (before) => before,
    refetchInterval: ({ state }) => (state.data?.counting ? COUNTING_MS : last ? REFRESH_MS : false),
  });
  const { data } = query;

  const saveCsv = async () => {
    setExporting(true);
    try {
      const token = await client.token();
      const response = await fetch(client.url('/api/usage', { ...asked(), format: 'csv' }), {
        headers: token ? { authorization: `Bearer ${token}` } : {},
      });
      if (!response.ok) throw new Error(`Roomwatch answered ${response.status}. Try again.`);
      save('usage.csv', await response.blob());
    } catch (cause) {
      toast.bad(cause, 'Export');
    } finally {
      setExporting(false);
    }
  };

  return (
    <>
      <PageHeader
        title="Usage"
        actions={
          <>
            <Button disabled={exporting || !data} onClick={saveCsv}>
              <Download size={14} aria-hidden /> {exporting ? 'Exporting…' : 'Export CSV'}
            </Button>
            <Button
              disabled={!data}
              onClick={() => saveText('usage.json', 'application/json', JSON.stringify(data, null, 1))}
            >
              <Download size={14} aria-hidden /> JSON
            </Button>
          </>
        }
      >
        Counted from the history. Days are those of {ZONE}.
      </PageHeader>
      <search aria-label="Choose the usage" className="mb-3 flex flex-wrap items-center gap-2">
        <WhenFilter
          key={isDated ? 'between' : 'last'}
          always
          last={last}
          from={search.from}
          to={search.to}
          onChange={set}
        />
        <Select
          aria-label="Measure"
          value={measure}
          onChange={({ target }) => set({ measure: MEASURE_NAMES.find((name) => name === target.value) })}
        >
          {MEASURE_NAMES.map((name) => (
            <option key={name} value={name}>
              {MEASURES[name].name}
            </option>
          ))}
        </Select>
        <Select
          aria-label="Group by"
          value={search.by ?? ''}
          onChange={({ target }) => set({ by: target.value || undefined })}
        >
          <option value="">Not grouped</option>
          {projects.length > 1 ? <option value="project">By project</option> : null}
          {data?.dimensions.map((name) => (
            <option key={name} value={name}>
              By {name}
            </option>
          ))}
        </Select>
        <ProjectSelect projects={projects} value={search.project} onChange={(project) => set({ project })} />
      </search>
      {!data ? (
        <Panel>{query.error ? <ErrorState error={query.error} onRetry={() => query.refetch()} /> : <Skeleton />}</Panel>
      ) : (
        <Answer
          usage={data}
          measure={measure}
          onMeasure={(name) => set({ measure: name })}
          isTable={search.view === 'table'}
          onTable={(table) => set({ view: table ? 'table' : undefined })}
          range={last ? SPANS[last].name.toLowerCase() : 'this time'}
        />
      )}
    </>
  );
}

function Answer({
  usage,
  measure,
  onMeasure,
  isTable,
  onTable,
  range,
}: {
  usage: Usage;
  measure: MeasureName;
  onMeasure: (name: MeasureName) => void;
  isTable: boolean;
  onTable: (table: boolean) => void;
  range: string;
}) {
  const { of, name } = MEASURES[measure];
  const [first] = usage.series;
  const series = useMemo(
    () =>
      usage.series
        .map((one) => ({ key: one.key, name: seriesName(one.key), total: one.total, points: one.points }))
        .sort((a, b) => (of(b.total) ?? 0) - (of(a.total) ?? 0)),
    [usage, of],
  );
  const at = useMemo(() => first?.points.map((point) => point.at) ?? [], [first]);
  const drawn = useMemo(
    () =>
      series.slice(0, DRAWN_MAX).map((one) => ({
        name: one.name,
        values: one.points.map(({ numbers }) => (numbers ? of(numbers) : null)),
      })),
    [series, of],
  );
  if (usage.knownFrom === null || !first) {
    return (
      <Panel>
        <Empty title="No usage yet">
          {usage.knownFrom === null ? 'Usage appears here after the first session.' : `There was no usage in ${range}.`}
        </Empty>
      </Panel>
    );
  }
  const unknown = first.points.some(({ numbers }) => numbers === null);
  return (
    <>
      {usage.groupBy === null ? <Totals total={first.total} measure={measure} onMeasure={onMeasure} /> : null}
      <Panel
        title={`${name}, ${range}`}
        aside={
          <IconButton
            label={isTable ? 'Show as chart' : 'Show as table'}
            className="-my-0.5 -mr-2 !h-7 !w-7"
            onClick={() => onTable(!isTable)}
          >
            {isTable ? <ChartColumn size={14} /> : <Table2 size={14} />}
          </IconButton>
        }
        flush
      >
        {isTable ? (
          <Table series={series} step={usage.step} measure={measure} />
        ) : (
          <>
            <div role="img" aria-label={describe(name, series, of)} className="h-72 px-2 pt-2">
              <Plot at={at} series={drawn} />
            </div>
            {usage.groupBy === null ? null : <Legend series={series} measure={measure} />}
          </>
        )}
        {unknown ? (
          <p className="border-t border-line px-4 py-2 text-xs text-ink-2">
            {usage.counting
              ? 'A part of this time is still being counted.'
              : `Unknown before ${dayTime(usage.knownFrom)}, and where the history was lost.`}
          </p>
        ) : null}
      </Panel>
    </>
  );
}

/** Returns the chart as one sentence. */
const describe = (
  name: string,
  series: { name: string; total: UsageNumbers }[],
  of: (numbers: UsageNumbers) => number | null,
) => `${name}. ${series.map((one) => `${one.name}: ${shown(of(one.total))}`).join(', ')}.`;

const shown = (value: number | null) => (value === null ? 'unknown' : count(Math.round(value)));

function Value({ value }: { value: number | null }) {
  return value === null ? <Unknown why="The peaks of several projects were at different times" /> : shown(value);
}

/** All totals. A click shows the measure. A peak has a link to its moment. */
function Totals({
  total,
  measure,
  onMeasure,
}: {
  total: UsageNumbers;
  measure: MeasureName;
  onMeasure: (name: MeasureName) => void;
}) {
  return (
    <ul className="mb-3 grid grid-cols-2 gap-2 sm:grid-cols-3 lg:grid-cols-5">
      {MEASURE_NAMES.map((name) => {
        const moment = momentOf(name, total);
        return (
          <li
            key={name}
            className={cx(
              'rounded-lg border bg-surface px-3 py-2 shadow-card',
              name === measure ? 'border-accent' : 'border-line',
            )}
          >
            <button
              type="button"
              aria-pressed={name === measure}
              className="block w-full cursor-pointer text-left"
              onClick={() => onMeasure(name)}
            >
              <span className="block text-xs text-ink-2">{MEASURES[name].name}</span>
              <span className="num block text-lg font-semibold">
                <Value value={MEASURES[name].of(total)} />
              </span>
            </button>
            {moment === null ? null : (
              <Link
                to="/events"
                search={{ t: moment }}
                className="text-xs text-accent underline"
                title="Events at this moment"
              >
                {dayTime(moment)}
              </Link>
            )}
            {name === 'failures' && total.failures > 0 ? <Failures total={total} /> : null}
          </li>
        );
      })}
    </ul>
  );
}

/** The kinds of failures that there were. */
function Failures({ total }: { total: UsageNumbers }) {
  const kinds = [
    plural(total.lostConnections, 'lost connection'),
    plural(total.failedCalls, 'failed call'),
    plural(total.failedAgents, 'failed agent'),
    plural(total.failedRecordings, 'failed recording'),
  ].filter((text) => !text.startsWith('0 '));
  return <p className="text-xs text-ink-2">{kinds.join(', ')}</p>;
}

function Legend({ series, measure }: { series: { name: string; total: UsageNumbers }[]; measure: MeasureName }) {
  return (
    <ul className="flex flex-wrap gap-x-4 gap-y-1 px-4 pb-3 text-xs text-ink-2">
      {series.map((one, n) => (
        <li key={one.name} className="num flex items-center gap-1.5">
          <span
            aria-hidden
            className="shape size-2 rounded-[2px]"
            style={{ background: n < DRAWN_MAX ? colourOf(n) : 'var(--line)' }}
          />
          {one.name} <Value value={MEASURES[measure].of(one.total)} />
        </li>
      ))}
    </ul>
  );
}

/** The same numbers as a table, the newest first. */
function Table({
  series,
  step,
  measure,
}: {
  series: { name: string; points: { at: number; numbers: UsageNumbers | null }[] }[];
  step: string;
  measure: MeasureName;
}) {
  const [first] = series;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must scroll by keys too
    <section tabIndex={0} aria-label="Usage as a table" className="max-h-[32rem] overflow-auto">
      <table className="num w-full text-right">
        <thead className="sticky top-0 bg-surface text-xs text-ink-3">
          <tr>
            <th className="px-4 py-1 text-left font-normal">By {step.replace('_', ' ')}</th>
            {series.map(({ name }) => (
              <th key={name} className="px-4 py-1 font-normal">
                {series.length === 1 ? MEASURES[measure].name : name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {first?.points
            .map(({ at }, n) => (
              <tr key={at} className="border-t border-line">
                <th className="px-4 py-1 text-left font-normal whitespace-nowrap">{dayTime(at)}</th>
                {series.map(({ name, points }) => {
                  const numbers = points[n]?.numbers;
                  return (
                    <td key={name} className="px-4 py-1">
                      {numbers ? (
                        <Value value={MEASURES[measure].of(numbers)} />
                      ) : (
                        <Unknown why="No data for this time" />
                      )}
                    </td>
                  );
                })}
              </tr>
            ))
            .toReversed()}
        </tbody>
      </table>
    </section>
  );
}
