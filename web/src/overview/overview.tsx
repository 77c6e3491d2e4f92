import { type Project, type Room, useMe, useProjects, useRooms, useRoomwatch } from '@roomwatch/react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { CircleDot } from 'lucide-react';
import { memo, type ReactNode } from 'react';
import { AttentionPanel } from '@/attention/attention-panel';
import { EventFeed } from '@/events/event-feed';
import { usePast } from '@/past/context';
import { PastLink } from '@/past/past-link';
import { listRooms } from '@/rooms/room-list';
import { ProjectHealth } from '@/settings/project-health';
import { useConnectionStatus } from '@/shell/connection-status';
import { sinceText, useAwaySince } from '@/shell/livekit-away';
import { buttonClass } from '@/ui/button';
import { count, plural } from '@/ui/format';
import { PageHeader, Panel } from '@/ui/panel';
import { type Place, usePlace } from '@/ui/place';
import { Empty, ErrorState, Skeleton, Unknown } from '@/ui/states';
import { Age } from '@/ui/time';
import { useThrottled } from '@/ui/use-throttled';
import { WallLink } from '@/wall/wall-link';
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
  const past = usePast();
  const rooms = useRooms();
  const shown = useThrottled(rooms.data, NUMBERS_EVERY_MS);
  const activity = useLastHour();
  const projects = useProjects();
  const status = useConnectionStatus();
  const demo = useMe().data?.demo ?? false;
  const awaySince = useAwaySince();
  if (past) {
    return (
      <>
        <PageHeader title="Overview" />
        <div className="grid gap-4 lg:grid-cols-3">
          <div className="lg:col-span-3">
            <past.Attention />
          </div>
          <div className="lg:col-span-3">
            <Totals rooms={past.rooms} unknown={false} live={false} awaySince={null} past />
          </div>
          <BusiestPanel rooms={past.rooms} unknown={false} past />
          <Panel title="Events" flush className="lg:col-span-2">
            <past.Feed limit={FEED_MAX} />
          </Panel>
        </div>
      </>
    );
  }
  // Nothing has said yet which rooms there are: that is not zero.
  const unknown = shown?.length === 0 && projects.data?.every(isUnheard) !== false;
  // After a restart the last webhook can be unknown, and its rooms not.
  const silent =
    shown?.length === 0 &&
    projects.data !== undefined &&
    projects.data.length > 0 &&
    projects.data.every((project) => project.lastWebhookAt === null);

  return (
    <>
      <PageHeader
        title="Overview"
        actions={
          <>
            <PastLink />
            <WallLink />
          </>
        }
      />
      {demo ? (
        <p className="mb-4 rounded-lg border border-accent/40 bg-accent-soft px-4 py-3 text-ink-2">
          <span className="font-medium text-ink">This is a demo.</span> The meetings are simulated, and some failures
          are on purpose. Everything else is real: you can end rooms, and mute and remove people. To watch your own
          rooms, start <code className="font-mono text-xs text-ink">roomwatch serve</code> with your LiveKit’s URL and
          key.
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
            <Totals rooms={shown} unknown={unknown} live={status === 'live'} awaySince={awaySince} />
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
                <ProjectHealth key={project.name} project={project} />
              ))}
            </ul>
          ) : projects.error ? (
            <ErrorState error={projects.error} compact onRetry={() => projects.refetch()} />
          ) : (
            <Skeleton rows={4} />
          )}
        </Panel>
        <BusiestPanel rooms={shown} unknown={unknown} />
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

function BusiestPanel({ past, ...of }: { rooms: Room[] | undefined; unknown: boolean; past?: boolean }) {
  const place = usePlace()?.search;
  return (
    <Panel
      title="Busiest rooms"
      label="Busiest rooms"
      flush
      className="self-start"
      aside={
        of.rooms?.length ? (
          <Link
            to="/rooms"
            search={{ sort: 'people', desc: true, ...place }}
            className="text-xs text-ink-2 hover:underline"
          >
            All {count(of.rooms.length)}
          </Link>
        ) : null
      }
    >
      {past && of.rooms?.length === 0 ? <Empty title="No room was live then" /> : <Busiest {...of} place={place} />}
    </Panel>
  );
}

/** Returns true for a project without a webhook and without a comparison. */
const isUnheard = ({ lastWebhookAt, reconciledAt }: Project) => lastWebhookAt === null && reconciledAt === null;

const Totals = memo(function Totals({
  rooms,
  unknown,
  live,
  awaySince,
  past,
}: {
  rooms: Room[] | undefined;
  unknown: boolean;
  live: boolean;
  /** Since when a LiveKit does not answer. */
  awaySince: number | null;
  past?: boolean;
}) {
  const sum = (of: (room: Room) => number) => (unknown ? null : rooms?.reduce((total, room) => total + of(room), 0));
  const asOf = live && awaySince !== null ? `as of ${sinceText(awaySince)}` : null;
  const people = sum((room) => room.participantCount);
  const agents = sum((room) => room.agentCount);
  const tracks = sum((room) => room.trackCounts.audio + room.trackCounts.video + room.trackCounts.screen);
  const stale = sum((room) => Number(room.stale));
  const recording = sum((room) => Number(room.recording));
  return (
    <section
      aria-label={past ? 'Live then' : live && awaySince === null ? 'Live now' : 'Last known'}
      className="grid grid-cols-2 rounded-lg border border-line bg-surface shadow-card lg:grid-cols-4"
    >
      <Total label="Rooms" value={sum(() => 1)} to={{}}>
        {asOf ?? (stale ? plural(stale, 'leftover room') : past ? 'live then' : live ? 'live now' : 'last known')}
      </Total>
      <Total label="People" value={people} to={{ sort: 'people', desc: true }}>
        {asOf ?? (agents ? `and ${plural(agents, 'agent')}` : 'in all rooms')}
      </Total>
      <Total label="Publishers" value={sum((room) => room.publisherCount)} to={{ sort: 'publishers', desc: true }}>
        {asOf ?? plural(tracks ?? 0, 'track')}
      </Total>
      <Total label="Recording" value={recording} to={{ recording: true }}>
        {asOf ?? (recording === 1 ? 'room' : 'rooms')}
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
  /** Undefined while loading; null if it is unknown. */
  value: number | null | undefined;
  to: { sort?: 'people' | 'publishers'; desc?: boolean; recording?: boolean };
  children: ReactNode;
}) {
  const place = usePlace()?.search;
  return (
    <Link
      to="/rooms"
      search={{ ...to, ...place }}
      className="group block border-line px-4 py-3.5 hover:bg-hover max-lg:nth-[2n]:border-l max-lg:nth-[n+3]:border-t lg:not-first:border-l"
    >
      <span className="block text-xs text-ink-2">{label}</span>
      <span className="num mt-1 block text-[1.75rem] leading-8 font-semibold tracking-tight">
        {value === undefined ? <Waiting /> : value === null ? <Unknown why="Not known yet" /> : count(value)}
      </span>
      <span className="num mt-1 block truncate text-xs text-ink-3">
        {value === undefined ? '\u00a0' : value === null ? 'not known yet' : children}
      </span>
    </Link>
  );
}

/** Placeholder as high as the number, so that nothing moves when it arrives. */
const Waiting = () => (
  <span className="flex h-8 items-center">
    <span className="skeleton h-6 w-14" />
  </span>
);

const Busiest = memo(function Busiest({
  rooms,
  unknown,
  place,
}: {
  rooms: Room[] | undefined;
  unknown: boolean;
  /** Moment of the past, for the links. */
  place: Place['search'] | undefined;
}) {
  if (!rooms) return <Skeleton rows={5} />;
  if (unknown) {
    return (
      <Empty title="Not known yet">
        The first webhook, or the first sync with LiveKit, tells which rooms are live.
      </Empty>
    );
  }
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
            search={{ project: room.project, ...place }}
            className="relative flex h-9 items-center gap-3 px-4 hover:bg-hover"
          >
            <span className="min-w-0 grow truncate font-medium">{room.name}</span>
            {room.recording ? <CircleDot size={13} className="text-bad" aria-label="recording" /> : null}
            <span className="num shrink-0 text-xs text-ink-3">
              {room.startedAt ? <Age since={room.startedAt} /> : null}
            </span>
            <span aria-hidden className="h-1.5 w-14 shrink-0 overflow-hidden rounded-full bg-sunken">
              <span
                className="dot block h-full rounded-full bg-(--chart-1)"
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
