import { useMe, useSessions } from '@roomwatch/react';
import { getRouteApi } from '@tanstack/react-router';
import { X } from 'lucide-react';
import { useRef, useState } from 'react';
import { useShortcuts } from '@/shell/shortcuts';
import { Button, IconButton } from '@/ui/button';
import { plural } from '@/ui/format';
import { PageFoot } from '@/ui/page-foot';
import { PageHeader, Panel } from '@/ui/panel';
import { ProjectSelect } from '@/ui/project-select';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { TypedInput } from '@/ui/typed-input';
import { WhenFilter } from '@/ui/when-filter';
import { SessionList } from './session-list';

const PAGE = 50;

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
  const [cleared, setCleared] = useState(0);
  const clear = () => {
    setCleared(cleared + 1);
    navigate({ search: {}, replace: true });
  };
  const filtered = Object.values(search).some((value) => value !== undefined);
  const sessions = data?.pages.flatMap((page) => page.sessions);

  return (
    <>
      <PageHeader title="Sessions">Each session is one room, from its first join to its close.</PageHeader>
      <search aria-label="Filter sessions" className="mb-3 flex flex-wrap items-center gap-2">
        <TypedInput
          inputRef={roomInput}
          label="Room (exact name)"
          placeholder="Room"
          hotkey="/"
          className="w-52 max-sm:w-[calc(50%-0.25rem)]"
          value={room ?? ''}
          onType={(value) => set({ room: value || undefined })}
        />
        <TypedInput
          label="Identity (exact)"
          placeholder="Identity"
          className="w-44 max-sm:w-[calc(50%-0.25rem)]"
          value={identity ?? ''}
          onType={(value) => set({ identity: value || undefined })}
        />
        <WhenFilter key={cleared} from={from} to={to} onChange={set} />
        <ProjectSelect projects={projects} value={project} onChange={(next) => set({ project: next })} />
        {filtered ? (
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
