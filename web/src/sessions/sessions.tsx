import { useMe, useSessions } from '@roomwatch/react';
import { getRouteApi } from '@tanstack/react-router';
import { X } from 'lucide-react';
import { useRef, useState } from 'react';
import { useShortcuts } from '@/shell/shortcuts';
import { Button, IconButton } from '@/ui/button';
import { Select } from '@/ui/field';
import { plural } from '@/ui/format';
import { FoundInput } from '@/ui/found-input';
import { PageFoot } from '@/ui/page-foot';
import { PageHeader, Panel } from '@/ui/panel';
import { ProjectSelect } from '@/ui/project-select';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { SessionList } from './session-list';
import { TimeInput } from './time-input';

const PAGE = 50;
const HOUR_MS = 3_600_000;
const spans = [
  { name: 'Last hour', millis: HOUR_MS },
  { name: 'Last 24 hours', millis: 24 * HOUR_MS },
  { name: 'Last 7 days', millis: 168 * HOUR_MS },
  { name: 'Last 30 days', millis: 720 * HOUR_MS },
];

const route = getRouteApi('/shell/sessions');

/** Sessions page: live and past sessions, the newest first. */
export function Sessions() {
  const search = route.useSearch();
  const { room, identity, project, from, to } = search;
  const navigate = route.useNavigate();
  const projects = useMe().data?.projects ?? [];
  const roomInput = useRef<HTMLInputElement>(null);
  const query = useSessions({
    ...search,
    limit: PAGE,
  });
  const { data, error, refetch } = query;
  useShortcuts('Sessions', [{ keys: '/', label: 'Search by room', run: () => roomInput.current?.focus() }]);

  const set = (next: Partial<typeof search>) =>
    navigate({ search: (before) => ({ ...before, ...next }), replace: true, resetScroll: false });
  const [between, setBetween] = useState(false);
  const dated = between || from !== undefined || to !== undefined;
  const clear = () => {
    setBetween(false);
    navigate({ search: {}, replace: true });
  };
  const filtered = Object.values(search).some((value) => value !== undefined);
  const sessions = data?.pages.flatMap((page) => page.sessions);

  return (
    <>
      <PageHeader title="Sessions">Each session is one room, from its first join to its close.</PageHeader>
      <search aria-label="Filter sessions" className="mb-3 flex flex-wrap items-center gap-2">
        <FoundInput
          kind="room"
          inputRef={roomInput}
          label="Room (exact name)"
          placeholder="Room"
          hotkey="/"
          className="w-52 max-sm:w-[calc(50%-0.25rem)]"
          value={room ?? ''}
          onType={(value) => set({ room: value || undefined })}
        />
        <FoundInput
          kind="identity"
          label="Identity (exact)"
          placeholder="Identity"
          className="w-44 max-sm:w-[calc(50%-0.25rem)]"
          value={identity ?? ''}
          onType={(value) => set({ identity: value || undefined })}
        />
        <Select
          aria-label="When"
          value={dated ? 'between' : ''}
          onChange={({ target: { value } }) => {
            setBetween(value !== '');
            const span = spans[Number(value || 'none')];
            if (span) set({ from: Date.now() - span.millis, to: undefined });
            else if (value === '') set({ from: undefined, to: undefined });
          }}
        >
          <option value="">Any time</option>
          {spans.map(({ name }, index) => (
            <option key={name} value={index}>
              {name}
            </option>
          ))}
          <option value="between">Between…</option>
        </Select>
        {dated ? (
          <span className="flex items-center gap-2 max-sm:w-full max-sm:flex-col max-sm:items-stretch">
            <TimeInput label="From" value={from} onChange={(at) => set({ from: at })} />
            <span aria-hidden className="text-ink-3 max-sm:hidden">
              to
            </span>
            <TimeInput label="To" value={to} onChange={(at) => set({ to: at })} />
          </span>
        ) : null}
        <ProjectSelect projects={projects} value={project} onChange={(next) => set({ project: next })} />
        {filtered || between ? (
          <IconButton label="Clear the filters" onClick={clear}>
            <X size={14} />
          </IconButton>
        ) : null}
      </search>

      <Panel flush className="overflow-hidden">
        {!sessions ? (
          error ? (
            <ErrorState error={error} onRetry={() => refetch()} />
          ) : (
            <Skeleton rows={10} />
          )
        ) : sessions.length === 0 ? (
          <Empty
            title={filtered ? 'No session matches' : 'No sessions yet'}
            action={filtered ? <Button onClick={clear}>Show all</Button> : undefined}
          >
            {filtered
              ? 'No exact match. Try the full room name or identity.'
              : 'A session starts with the first join of a room. It stays here after it ends.'}
          </Empty>
        ) : (
          <>
            <SessionList sessions={sessions} showProject={projects.length > 1 && project === undefined} />
            <PageFoot shown={plural(sessions.length, 'session')} more="Older sessions" error={error} page={query} />
          </>
        )}
      </Panel>
    </>
  );
}
