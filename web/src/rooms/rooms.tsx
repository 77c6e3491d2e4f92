import { type Room, useMe, useRooms } from '@roomwatch/react';
import { getRouteApi, Link } from '@tanstack/react-router';
import { Eye, Plus } from 'lucide-react';
import { memo, useEffect, useMemo, useRef, useState } from 'react';
import { useOpenConditions } from '@/attention/use-open-conditions';
import { partFile } from '@/page-file';
import { usePast } from '@/past/context';
import { PastLink } from '@/past/past-link';
import { useConnectionStatus } from '@/shell/connection-status';
import { sinceText, useAwaySince } from '@/shell/livekit-away';
import { useRefusal } from '@/shell/rights';
import { useShortcuts } from '@/shell/shortcuts';
import { Button, buttonClass } from '@/ui/button';
import { SearchInput, Select } from '@/ui/field';
import { count, plural } from '@/ui/format';
import { PageHeader, Panel } from '@/ui/panel';
import { usePlace } from '@/ui/place';
import { ProjectSelect } from '@/ui/project-select';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { Toggle } from '@/ui/toggle';
import { useThrottled } from '@/ui/use-throttled';
import { WallLink } from '@/wall/wall-link';
import { byRoom, listRooms } from './room-list';
import { ROOM_SORTS, type RoomSort } from './room-sort';
import { RoomsTable } from './rooms-table';

const CreateRoom = partFile(async () => (await import('./create-room')).CreateRoom);

/** Minimum time between two changes of the table: faster ones cannot be read. */
const DRAW_EVERY_MS = 250;
/** The same while sorted by last event, when every change moves every row. */
const DRAW_MOVING_EVERY_MS = 500;
/** Pause in typing after which the text goes into the address. */
const TYPING_MS = 200;

const route = getRouteApi('/shell/rooms');

const sortNames: Record<RoomSort, string> = {
  name: 'Name',
  people: 'People',
  publishers: 'Publishers',
  tracks: 'Tracks',
  agents: 'Agents',
  age: 'Age',
  event: 'Last event',
};

/** Rooms page: all live rooms. */
export function Rooms() {
  const past = usePast();
  const rooms = useRooms();
  const { sort } = route.useSearch();
  const shown = useThrottled(rooms.data, sort === 'event' ? DRAW_MOVING_EVERY_MS : DRAW_EVERY_MS);
  if (past) return <RoomList rooms={past.rooms} past />;
  if (rooms.error && !shown) {
    return (
      <>
        <PageHeader title="Rooms" />
        <Panel>
          <ErrorState error={rooms.error} onRetry={() => rooms.refetch()} />
        </Panel>
      </>
    );
  }
  return <RoomList rooms={shown} />;
}

const RoomList = memo(function RoomList({ rooms, past }: { rooms: Room[] | undefined; past?: boolean }) {
  const { sort = 'people', desc = sort !== 'name', at: _at, range: _range, ...filter } = route.useSearch();
  const { q, project, recording, agents, stale, noAgents, alone, long, attention, phone } = filter;
  const navigate = route.useNavigate();
  const projects = useMe().data?.projects ?? [];
  const refusal = useRefusal('create');
  const mayWatch = useRefusal('watch') === null;
  const [creating, setCreating] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  useShortcuts('Rooms', [{ keys: '/', label: 'Search rooms', run: () => search.current?.focus() }]);

  const all = useMemo(() => new Map(rooms?.map((room) => [room.sid, room])), [rooms]);
  const place = usePlace();
  const moment = place?.moment;
  const present = useOpenConditions()?.open;
  // Conditions are about now.
  const open = past ? undefined : present;
  const conditions = useMemo(() => byRoom(open ?? []), [open]);
  // The filter is a new object in each render.
  const filterKey = JSON.stringify(filter);
  const list = useMemo(
    () => listRooms(rooms ?? [], JSON.parse(filterKey), sort, desc, conditions, moment),
    [rooms, filterKey, sort, desc, conditions, moment],
  );
  const filtered = filterKey !== '{}';
  const set = (next: Partial<ReturnType<typeof route.useSearch>>) =>
    navigate({ search: (before) => ({ ...before, ...next }), replace: true, resetScroll: false });
  const live = (rooms: number) => (past ? `${plural(rooms, 'room')} live then` : plural(rooms, 'live room'));
  const people = list.reduce((sum, room) => sum + room.participantCount, 0);
  const status = useConnectionStatus();
  const awayNow = useAwaySince(project);
  const awaySince = past ? null : awayNow;
  const old = !past && (status === 'stale' || status === 'signed_out');

  return (
    <>
      <PageHeader
        title="Rooms"
        actions={
          <>
            <PastLink />
            <WallLink />
            {mayWatch ? (
              <Link to="/watch" className={buttonClass('outline')}>
                <Eye size={14} aria-hidden /> <span className="max-sm:sr-only">Watch several</span>
              </Link>
            ) : null}
            <Button reason={refusal} onClick={() => setCreating(true)}>
              <Plus size={14} /> Create room
            </Button>
          </>
        }
      >
        <span className="num">
          {rooms
            ? filtered
              ? `${count(list.length)} of ${live(rooms.length)} · ${plural(people, 'person', 'people')}`
              : `${live(rooms.length)} · ${plural(people, 'person', 'people')}`
            : '\u00a0'}
          {rooms && old ? ', last known' : ''}
          {rooms && !old && awaySince !== null ? `, as of ${sinceText(awaySince)}` : ''}
        </span>
      </PageHeader>

      <search aria-label="Filter rooms" className="mb-3 flex flex-wrap items-center gap-2">
        <Search inputRef={search} value={q ?? ''} onSearch={(value) => set({ q: value || undefined })} />
        <Select
          aria-label="Sort by"
          className="w-34 md:hidden"
          value={`${sort} ${desc}`}
          onChange={(event) => {
            const [by, down] = event.target.value.split(' ');
            set({ sort: ROOM_SORTS.find((one) => one === by), desc: down === 'true' });
          }}
        >
          {ROOM_SORTS.flatMap((by) =>
            [false, true].map((down) => (
              <option key={`${by} ${down}`} value={`${by} ${down}`}>
                {sortNames[by]} {down ? '↓' : '↑'}
              </option>
            )),
          )}
        </Select>
        <Toggle on={!!recording} onChange={(on) => set({ recording: on || undefined })}>
          Recording
        </Toggle>
        <Toggle on={!!agents} onChange={(on) => set({ agents: on || undefined })}>
          With agents
        </Toggle>
        <Toggle on={!!noAgents} onChange={(on) => set({ noAgents: on || undefined })}>
          No agent
        </Toggle>
        <Toggle on={!!phone} onChange={(on) => set({ phone: on || undefined })}>
          Phone
        </Toggle>
        <Toggle on={!!alone} onChange={(on) => set({ alone: on || undefined })}>
          Alone
        </Toggle>
        <Toggle on={!!long} onChange={(on) => set({ long: on || undefined })}>
          Long
        </Toggle>
        <Toggle on={!!attention} onChange={(on) => set({ attention: on || undefined })}>
          Needs attention
        </Toggle>
        <Toggle on={!!stale} onChange={(on) => set({ stale: on || undefined })}>
          Leftover
        </Toggle>
        <ProjectSelect projects={projects} value={project} onChange={(next) => set({ project: next })} />
      </search>

      {!rooms ? (
        <Panel flush>
          <Skeleton rows={10} />
        </Panel>
      ) : rooms.length === 0 && past ? (
        <Panel>
          <Empty title="No room was live then" />
        </Panel>
      ) : rooms.length === 0 ? (
        <Panel>
          <Empty
            title="No live rooms"
            action={
              <Link to="/settings" className={buttonClass('outline')}>
                Check the webhook
              </Link>
            }
          >
            A room appears here with its first join; past ones are under Sessions. If people are meeting now, LiveKit
            does not send webhooks to Roomwatch yet.
          </Empty>
        </Panel>
      ) : list.length === 0 ? (
        <Panel>
          <Empty
            title="No matching rooms"
            action={
              <Button onClick={() => navigate({ search: { sort, desc, ...place?.search }, replace: true })}>
                Show all {count(rooms.length)}
              </Button>
            }
          >
            {plural(rooms.length, 'room is', 'rooms are')} live{past ? ' at this moment' : ''}, but none matches the
            filter.
          </Empty>
        </Panel>
      ) : (
        <RoomsTable
          rooms={list}
          all={all}
          sort={sort}
          desc={desc}
          // Another moment of the past has another list.
          filterKey={moment === undefined ? filterKey : `${filterKey} ${moment}`}
          conditions={conditions}
          showProject={projects.length > 1 && project === undefined}
          onSort={(by) => set({ sort: by, desc: by === sort ? !desc : by !== 'name' })}
          onOpen={(room) =>
            navigate({
              to: '/rooms/$room',
              params: { room: room.name },
              search: { project: room.project, ...place?.search },
              replace: false,
            })
          }
        />
      )}
      {creating ? <CreateRoom onClose={() => setCreating(false)} /> : null}
    </>
  );
});

/** Search field. The text is shown at once; the address and the list follow when the typing pauses. */
function Search({
  value,
  onSearch,
  inputRef,
}: {
  value: string;
  onSearch: (value: string) => void;
  inputRef: React.RefObject<HTMLInputElement | null>;
}) {
  const [typed, setTyped] = useState(value);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  // Back, Forward and "Show all" change the address from outside.
  useEffect(() => setTyped(value), [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <SearchInput
      ref={inputRef}
      label="Search rooms by name or SID"
      placeholder="Room name or SID"
      hotkey="/"
      className="w-64 max-sm:w-[calc(100%-9rem)]"
      value={typed}
      onChange={(event) => {
        const next = event.target.value;
        setTyped(next);
        clearTimeout(timer.current);
        timer.current = setTimeout(() => onSearch(next), TYPING_MS);
      }}
      onKeyDown={(event) => {
        if (event.key === 'Escape') event.currentTarget.blur();
      }}
    />
  );
}
