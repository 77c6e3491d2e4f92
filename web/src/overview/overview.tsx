import { type Room, useMe, useProjects, useRooms, useRoomwatch } from '@roomwatch/react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { CircleDot } from 'lucide-react';
import { memo, type ReactNode } from 'react';
import { AttentionPanel } from '@/attention/attention-panel';
import { EventFeed } from '@/events/event-feed';
import { listRooms } from '@/rooms/room-list';
import { ProjectHealth } from '@/settings/project-health';
import { useConnectionStatus } from '@/shell/connection-pill';
import { buttonClass } from '@/ui/button';
import { count, plural } from '@/ui/format';
import { PageHeader, Panel } from '@/ui/panel';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { Age } from '@/ui/time';
import { useThrottled } from '@/ui/use-throttled';
import { ActivityChart } from './activity-chart';

const MINUTE_MS = 60_000;
/** Time between two fetches of the chart: its bars are minutes. */
const ACTIVITY_EVERY_MS = 20_000;
/** Minimum time between two changes of the numbers: faster ones cannot be read. */
const NUMBERS_EVERY_MS = 300;
const BUSIEST_MAX = 7;
const FEED_MAX = 40;

/** The last hour in whole minutes. The present minute is the last bar. */
function useLastHour() {
  const { client } = useRoomwatch();
  return useQuery({
    queryKey: ['activity', 'last hour'],
    queryFn: ({ signal }) => {
      const to = Math.ceil(Date.now() / MINUTE_MS) * MINUTE_MS;
      return client.activity({ from: to - 60 * MINUTE_MS, to, step: MINUTE_MS }, signal);
    },
    refetchInterval: ACTIVITY_EVERY_MS,
    placeholderData: keepPreviousData,
  });
}

/** Overview page: the present state at a glance. */
export function Overview() {
  const rooms = useRooms();
  const shown = useThrottled(rooms.data, NUMBERS_EVERY_MS);
  const activity = useLastHour();
  const projects = useProjects();
  const status = useConnectionStatus();
  const demo = useMe().data?.demo ?? false;
  const silent = projects.data?.length && projects.data.every((project) => project.lastWebhookAt === null);

  return (
    <>
      <PageHeader title="Overview" />
      {demo ? (
        <p className="mb-4 rounded-lg border border-accent/40 bg-accent-soft px-4 py-3 text-ink-2">
          <span className="font-medium text-ink">This is a demo.</span> The meetings are simulated without LiveKit.
          Their events go through the real pipeline. To watch your own rooms, start{' '}
          <code className="font-mono text-xs text-ink">roomwatch serve</code> with your LiveKit’s URL and key.
        </p>
      ) : null}
      {silent ? (
        <div className="mb-4 flex flex-wrap items-center gap-x-4 gap-y-2 rounded-lg border border-accent/40 bg-accent-soft px-4 py-3">
          <p className="min-w-0 grow">
            <span className="font-medium">Waiting for the first webhook.</span>{' '}
            <span className="text-ink-2">
              Point LiveKit’s webhook at Roomwatch. Copy the configuration from Settings.
            </span>
          </p>
          <Link to="/settings" className={buttonClass('solid')}>
            Set up the webhook
          </Link>
        </div>
      ) : null}
      <div className="grid gap-4 lg:grid-cols-3">
        <div className="lg:col-span-3">
          <AttentionPanel projects={projects.data} />
        </div>
        <div className="lg:col-span-3">
          {rooms.error && !shown ? (
            <Panel>
              <ErrorState error={rooms.error} compact onRetry={() => rooms.refetch()} />
            </Panel>
          ) : (
            <Totals rooms={shown} live={status === 'live'} />
          )}
        </div>
        <div className="lg:col-span-2">
          <ActivityChart activity={activity.data} error={activity.error} onRetry={() => activity.refetch()} />
        </div>
        <Panel
          title="Projects"
          flush
          aside={
            <Link to="/settings" className="text-xs text-ink-2 hover:underline">
              Settings
            </Link>
          }
        >
          {projects.data ? (
            <ul className="max-h-96 divide-y divide-line overflow-y-auto">
              {projects.data.map((project) => (
                <ProjectHealth key={project.name} project={project} demo={demo} />
              ))}
            </ul>
          ) : projects.error ? (
            <ErrorState error={projects.error} compact onRetry={() => projects.refetch()} />
          ) : (
            <Skeleton rows={4} />
          )}
        </Panel>
        <Panel
          title="Busiest rooms"
          flush
          className="self-start"
          aside={
            shown?.length ? (
              <Link to="/rooms" search={{ sort: 'people', desc: true }} className="text-xs text-ink-2 hover:underline">
                All {count(shown.length)}
              </Link>
            ) : null
          }
        >
          <Busiest rooms={shown} />
        </Panel>
        <Panel
          title="Latest events"
          flush
          className="lg:col-span-2"
          aside={
            <Link to="/events" className="text-xs text-ink-2 hover:underline">
              All events
            </Link>
          }
        >
          <EventFeed limit={FEED_MAX} />
        </Panel>
      </div>
    </>
  );
}

const Totals = memo(function Totals({ rooms, live }: { rooms: Room[] | undefined; live: boolean }) {
  const sum = (of: (room: Room) => number) => rooms?.reduce((total, room) => total + of(room), 0);
  const people = sum((room) => room.participantCount);
  const agents = sum((room) => room.agentCount);
  const tracks = sum((room) => room.trackCounts.audio + room.trackCounts.video + room.trackCounts.screen);
  const stale = sum((room) => Number(room.stale));
  const recording = sum((room) => Number(room.recording));
  return (
    <section
      aria-label={live ? 'Live now' : 'Last known'}
      className="grid grid-cols-2 rounded-lg border border-line bg-surface shadow-card lg:grid-cols-4"
    >
      <Total label="Rooms" value={rooms?.length} to={{}}>
        {stale ? plural(stale, 'leftover room') : live ? 'live now' : 'last known'}
      </Total>
      <Total label="People" value={people} to={{ sort: 'people', desc: true }}>
        {agents ? `and ${plural(agents, 'agent')}` : 'in all rooms'}
      </Total>
      <Total label="Publishers" value={sum((room) => room.publisherCount)} to={{ sort: 'publishers', desc: true }}>
        {tracks === undefined ? null : plural(tracks, 'track')}
      </Total>
      <Total label="Recording" value={recording} to={{ recording: true }}>
        {recording === 1 ? 'room' : 'rooms'}
      </Total>
    </section>
  );
});

function Total({
  label,
  value,
  to,
  children,
}: {
  label: string;
  value: number | undefined;
  to: { sort?: 'people' | 'publishers'; desc?: boolean; recording?: boolean };
  children: ReactNode;
}) {
  return (
    <Link
      to="/rooms"
      search={to}
      className="group block border-line px-4 py-3.5 hover:bg-hover max-lg:nth-[2n]:border-l max-lg:nth-[n+3]:border-t lg:not-first:border-l"
    >
      <span className="block text-xs text-ink-2">{label}</span>
      <span className="num mt-1 block text-[1.75rem] leading-8 font-semibold tracking-tight">
        {value === undefined ? <Waiting /> : count(value)}
      </span>
      <span className="num mt-1 block truncate text-xs text-ink-3">{value === undefined ? '\u00a0' : children}</span>
    </Link>
  );
}

/** Placeholder as high as the number, so that nothing moves when it arrives. */
const Waiting = () => (
  <span className="flex h-8 items-center">
    <span className="skeleton h-6 w-14" />
  </span>
);

const Busiest = memo(function Busiest({ rooms }: { rooms: Room[] | undefined }) {
  if (!rooms) return <Skeleton rows={5} />;
  if (rooms.length === 0) {
    return (
      <Empty
        title="No live rooms"
        action={
          <Link to="/settings" className={buttonClass('outline')}>
            Check the webhook
          </Link>
        }
      >
        A room appears here with its first join. If people are meeting now, LiveKit does not send webhooks to Roomwatch
        yet.
      </Empty>
    );
  }
  // Equal rooms keep their order by name, so that the list does not shuffle.
  const busiest = listRooms(rooms, {}, 'people', true).slice(0, BUSIEST_MAX);
  const most = busiest[0]?.participantCount || 1;
  return (
    <ol className="py-1">
      {busiest.map((room) => (
        <li key={room.sid}>
          <Link
            to="/rooms/$room"
            params={{ room: room.name }}
            search={{ project: room.project }}
            className="relative flex h-9 items-center gap-3 px-4 hover:bg-hover"
          >
            <span className="min-w-0 grow truncate font-medium">{room.name}</span>
            {room.recording ? <CircleDot size={13} className="text-bad" aria-label="recording" /> : null}
            <span className="num shrink-0 text-xs text-ink-3">
              {room.startedAt ? <Age since={room.startedAt} /> : null}
            </span>
            <span aria-hidden className="h-1.5 w-14 shrink-0 overflow-hidden rounded-full bg-sunken">
              <span
                className="block h-full rounded-full bg-(--chart-1)"
                style={{ width: `${(100 * room.participantCount) / most}%` }}
              />
            </span>
            <span className="num w-7 shrink-0 text-right">
              {count(room.participantCount)}
              <span className="sr-only"> people</span>
            </span>
          </Link>
        </li>
      ))}
    </ol>
  );
});
