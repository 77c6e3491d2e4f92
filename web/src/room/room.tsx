import { type Participant, type Room, useRoom, useRoomParticipants, useRooms, useSession } from '@roomwatch/react';
import { getRouteApi, Link } from '@tanstack/react-router';
import { CircleDot, CloudOff } from 'lucide-react';
import { useMemo, useRef, useState } from 'react';
import { EventFeed } from '@/events/event-feed';
import { noteParticipants } from '@/events/names';
import { partFile } from '@/page-file';
import { type Past, usePast } from '@/past/context';
import { PastLink } from '@/past/past-link';
import { useSessionRefresh } from '@/sessions/use-session-refresh';
import { sinceText, useAwaySince } from '@/shell/livekit-away';
import { Badge } from '@/ui/badge';
import { CopyButton, Sid } from '@/ui/copy';
import { Crumb } from '@/ui/crumb';
import { codeOf } from '@/ui/errors';
import { plural } from '@/ui/format';
import { PageHeader, Panel } from '@/ui/panel';
import { Empty, ErrorState, Skeleton, Unknown } from '@/ui/states';
import { Age, Ago, useNow } from '@/ui/time';
import { useThrottled } from '@/ui/use-throttled';
import type { Quality } from '@/watch/quality';
import { RoomActions } from './actions';
import { Calls } from './calls';
import { Participants } from './participants';
import { pretty } from './people';
import { Recordings } from './side';

const Ended = partFile(async () => (await import('./ended')).Ended);
const Watch = partFile(
  async () => (await import('@/watch/watch')).default,
  () => <Panel className="mb-4">Loading the LiveKit client…</Panel>,
  true,
);
const Dispatches = partFile(async () => (await import('./dispatches')).Dispatches);
const SessionTimeline = partFile(
  async () => (await import('@/sessions/session-timeline')).SessionTimeline,
  ({ detail }) => <Skeleton rows={Math.min(8, detail.participations.length + 1)} />,
);

const route = getRouteApi('/shell/rooms/$room');

const DRAW_EVERY_MS = 250;
const FEED_MAX = 60;
const FEED_BOX = 'max-h-112 overflow-y-auto xl:max-h-[max(28rem,calc(100dvh-15rem))]';
/** Maximum participations in the timeline of the room page. */
const LANES_MAX = 40;
/** Time between two moves of the right end of the timeline. */
const MOVE_MS = 5_000;

/** Room page: participants, events and actions of one live room. */
export function RoomPage() {
  const { room: name } = route.useParams();
  const { project } = route.useSearch();
  // Another room is another page: no state of the previous one may be shown.
  return <LiveRoom key={`${project ?? ''}/${name}`} name={name} project={project} />;
}

function LiveRoom({ name, project }: { name: string; project: string | undefined }) {
  const past = usePast();
  const { sid, view } = route.useSearch();
  const navigate = route.useNavigate();
  const present = useRoom(name, { project, watch: !past, enabled: !past });
  const room = past ? { ...present, data: past.room?.room, error: null } : present;
  useSessionRefresh(name, project);
  const participants = useRoomParticipants(name, { project, enabled: !past });
  const shown = useThrottled(participants.data, DRAW_EVERY_MS);
  const people = past ? past.people : shown;
  // Before the events are drawn: some have the sid only, and no name.
  useMemo(() => noteParticipants(people ?? []), [people]);
  const [quality, setQuality] = useState<ReadonlyMap<string, Quality>>(new Map());
  const last = useRef<Room | null>(null);
  if (room.data) last.current = room.data;

  if (codeOf(room.error) === 'project_required') return <WhichProject name={name} />;
  if (room.error && room.data === undefined) {
    return (
      <>
        <Crumb to="/rooms" list="Rooms" name={name} />
        <PageHeader title={name} />
        <Panel>
          <ErrorState error={room.error} onRetry={() => room.refetch()} />
        </Panel>
      </>
    );
  }
  if (room.data === undefined) {
    return (
      <>
        <Crumb to="/rooms" list="Rooms" name={name} />
        <PageHeader title={name} />
        <Panel flush>
          <Skeleton rows={8} />
        </Panel>
      </>
    );
  }
  if (room.data === null) {
    return (
      <>
        <Crumb to="/rooms" list="Rooms" name={name} />
        {past ? (
          <NotThen name={name} project={project} past={past} />
        ) : (
          <Ended name={name} project={project} sid={last.current?.sid ?? sid} />
        )}
      </>
    );
  }

  const live = room.data;
  return (
    <>
      <Crumb to="/rooms" list="Rooms" name={name} />
      <PageHeader
        name={live.name}
        title={
          <span className="flex min-w-0 items-center gap-2.5">
            <span className="truncate">{live.name}</span>
            {live.recording ? (
              <Badge tone="bad">
                <CircleDot size={12} aria-hidden /> Recording
              </Badge>
            ) : null}
            {live.stale ? (
              <Badge tone="warn" title="Empty for longer than LiveKit keeps a room. Its node may have stopped.">
                <CloudOff size={12} aria-hidden /> Leftover
              </Badge>
            ) : null}
          </span>
        }
        actions={
          <>
            <PastLink />
            <RoomActions
              room={live}
              watching={view === 'watch'}
              onWatch={(on) => navigate({ search: (before) => ({ ...before, view: on ? 'watch' : undefined }) })}
            />
          </>
        }
      >
        <Facts room={live} />
      </PageHeader>

      {sid !== undefined && sid !== live.sid && !past ? (
        <p className="mb-4 rounded-md bg-accent-soft px-3 py-2 text-accent">
          This is a newer session of the same name. The one you opened has ended.{' '}
          <Link
            to="/sessions/$sid"
            params={{ sid }}
            search={{ project: live.project }}
            className="font-medium underline"
          >
            Show the ended session
          </Link>
        </p>
      ) : null}

      {view === 'watch' && !past ? (
        <Watch
          room={live}
          onQuality={setQuality}
          onClose={() => navigate({ search: (before) => ({ ...before, view: undefined }) })}
        />
      ) : null}

      <div className="grid items-start gap-4 xl:grid-cols-[minmax(0,1fr)_24rem]">
        <div className="grid min-w-0 gap-4 max-xl:contents">
          {past ? <past.Corrections name={name} project={project} /> : null}
          <Participants
            room={live}
            participants={people}
            quality={quality}
            error={participants.error}
            onRetry={() => participants.refetch()}
          />
          <SoFar room={live} past={!!past} />
        </div>
        <div className="grid gap-4 max-xl:contents">
          <Side room={live} participants={people ?? []} past={past} />
          <Panel
            title="Events"
            flush
            aside={
              <Link
                to="/events"
                search={{ room: live.name, project: live.project }}
                className="text-xs text-ink-2 hover:underline"
              >
                All events
              </Link>
            }
          >
            {past ? (
              <past.Feed limit={FEED_MAX} inRoom className={FEED_BOX} />
            ) : (
              <EventFeed room={live.name} project={live.project} limit={FEED_MAX} className={FEED_BOX} />
            )}
          </Panel>
        </div>
      </div>
    </>
  );
}

/** The room page of a moment at which the room was not live. */
function NotThen({ name, project, past }: { name: string; project: string | undefined; past: Past }) {
  return (
    <>
      <PageHeader title={name}>Not live at this moment.</PageHeader>
      <div className="grid items-start gap-4 lg:grid-cols-2">
        <past.Corrections name={name} project={project} />
        <Panel title="Events" flush>
          <past.Feed limit={FEED_MAX} inRoom className={FEED_BOX} />
        </Panel>
      </div>
    </>
  );
}

function Side({ room, participants, past }: { room: Room; participants: Participant[]; past: Past | null }) {
  const callers = useMemo(() => participants.filter(({ kind }) => kind === 'sip'), [participants]);
  return (
    <>
      {callers.length > 0 ? <Calls callers={callers} /> : null}
      <Recordings room={room} then={past?.room?.egress} />
      {past ? null : <Dispatches room={room} />}
      {room.metadata ? (
        <Panel title="Metadata" aside={<CopyButton text={room.metadata} label="Copy metadata" />}>
          <pre className="max-h-60 overflow-auto font-mono text-xs break-words whitespace-pre-wrap text-ink-2">
            {pretty(room.metadata)}
          </pre>
        </Panel>
      ) : null}
    </>
  );
}

/** Timeline of the present session. A large session has its own page. */
function SoFar({ room, past }: { room: Room; past: boolean }) {
  const { data } = useSession(room.sid, { project: room.project });
  const now = Math.floor(useNow() / MOVE_MS) * MOVE_MS;
  if (!data || data.participations.length === 0 || data.participations.length > LANES_MAX) return null;
  return (
    <Panel
      title={past ? 'Session timeline, as known today' : 'Session timeline'}
      flush
      className="overflow-hidden max-xl:order-last"
      aside={
        <Link
          to="/sessions/$sid"
          params={{ sid: room.sid }}
          search={{ project: room.project }}
          className="text-xs text-ink-2 hover:underline"
        >
          Open session
        </Link>
      }
    >
      <SessionTimeline detail={data} now={now} />
    </Panel>
  );
}

function Facts({ room }: { room: Room }) {
  const { checkedAt = null } = room;
  const away = useAwaySince(room.project);
  const past = usePast() !== null;
  const awaySince = past ? null : away;
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-0.5">
      <span>
        {past ? 'Had been live for' : awaySince === null ? 'Live for' : 'Last reported live, for'}{' '}
        {room.startedAt === null ? <Unknown /> : <Age since={room.startedAt} />}
      </span>
      <span className="num">{plural(room.participantCount, 'person', 'people')}</span>
      {room.agentCount > 0 ? <span className="num">{plural(room.agentCount, 'agent')}</span> : null}
      <span className="num">{plural(room.publisherCount, 'publisher')}</span>
      <Sid>{room.sid}</Sid>
      {awaySince !== null ? (
        <span className="text-bad">as of {sinceText(awaySince)}</span>
      ) : checkedAt !== null ? (
        <span
          className="text-ink-3"
          title="LiveKit sends no webhooks for mutes, metadata and permissions. Roomwatch polls them."
        >
          synced <Ago at={checkedAt} />
        </span>
      ) : null}
    </div>
  );
}

/** Choice of the project, if several have a room of this name and the address has no project. */
function WhichProject({ name }: { name: string }) {
  const rooms = useRooms();
  const candidates = rooms.data?.filter((room) => room.name === name) ?? [];
  return (
    <>
      <Crumb to="/rooms" list="Rooms" name={name} />
      <PageHeader title={name} />
      <Panel>
        <Empty title={`Which ${name}?`}>
          {candidates.length > 0
            ? 'Rooms of this name are live in these projects:'
            : 'No project has a live room of this name.'}
          <ul className="mt-3 space-y-1">
            {candidates.map((room) => (
              <li key={room.sid}>
                <Link
                  to="/rooms/$room"
                  params={{ room: name }}
                  search={{ project: room.project }}
                  className="text-accent underline"
                >
                  {room.project}
                </Link>
              </li>
            ))}
          </ul>
        </Empty>
      </Panel>
    </>
  );
}
