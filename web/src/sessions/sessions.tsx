import { type Session, type SessionsPage, useMe, useRoomwatch, useSessions } from '@roomwatch/react';
import { getRouteApi } from '@tanstack/react-router';
import { Download, TriangleAlert, X } from 'lucide-react';
import { useMemo, useRef, useState } from 'react';
import { useShortcuts } from '@/shell/shortcuts';
import { Button, IconButton } from '@/ui/button';
import { saveText } from '@/ui/download';
import { Select } from '@/ui/field';
import { count, dayTime, plural } from '@/ui/format';
import { FoundInput } from '@/ui/found-input';
import { PagedPanel } from '@/ui/paged-panel';
import { PageHeader } from '@/ui/panel';
import { ProjectSelect } from '@/ui/project-select';
import { toast } from '@/ui/toast';
import { Toggle } from '@/ui/toggle';
import { WhenFilter } from '@/ui/when-filter';
import { SessionList } from './session-list';
import { queryOf, switchTrouble, TROUBLES, troublesOf } from './session-search';
import { SESSION_SORTS, type SessionColumn } from './session-sort';
import { sessionsCsv } from './sessions-csv';

const PAGE = 50;
/** Maximum sessions of one export. */
const EXPORT_MAX = 10_000;

const sortNames: Record<SessionColumn, string> = {
  started: 'Started',
  duration: 'Lasted',
  participants: 'People',
  agents: 'Agents',
  trouble: 'Trouble',
  minutes: 'Minutes',
};

const route = getRouteApi('/shell/sessions');

/** Sessions page: live and past sessions, the newest first unless sorted. */
export function Sessions() {
  const search = route.useSearch();
  const { room, identity, roomContains, participantContains, project, from, to, last, trouble } = search;
  const { sort = 'started', desc = true } = search;
  const navigate = route.useNavigate();
  const { client } = useRoomwatch();
  const projects = useMe().data?.projects ?? [];
  const roomInput = useRef<HTMLInputElement>(null);
  // The end of a span stays the same while the filter does: else each render would be another query.
  const query = useMemo(() => queryOf(search, Date.now()), [search]);
  const sessionsQuery = useSessions({ ...query, limit: PAGE });
  // A query of their own: another order or another page counts nothing new.
  const { sort: _by, order: _order, ...counted } = query;
  const totals = useSessions({ ...counted, limit: 1, totals: true }).data?.pages[0];
  const { data } = sessionsQuery;
  useShortcuts('Sessions', [{ keys: '/', label: 'Search by room', run: () => roomInput.current?.focus() }]);

  const set = (next: Partial<typeof search>) =>
    navigate({ search: (before) => ({ ...before, ...next }), replace: true, resetScroll: false });
  const [cleared, setCleared] = useState(0);
  const clear = () => {
    setCleared(cleared + 1);
    navigate({ search: { sort: search.sort, desc: search.desc }, replace: true });
  };
  const { sort: _sort, desc: _desc, ...filters } = search;
  const filtered = Object.values(filters).some((value) => value !== undefined);
  const sessions = data?.pages.flatMap((page) => page.sessions);
  const [exporting, setExporting] = useState(false);
  const save = async () => {
    setExporting(true);
    try {
      const all: Session[] = [];
      let before: string | undefined;
      do {
        const page = await client.sessions({ ...query, before, limit: 1_000 });
        all.push(...page.sessions);
        before = page.next ?? undefined;
      } while (before && all.length < EXPORT_MAX);
      saveText('sessions.csv', 'text/csv', sessionsCsv(all));
      if (before) toast.bad(`Only the first ${plural(all.length, 'session')} were saved. Choose a shorter time.`);
    } catch (cause) {
      toast.bad(cause, 'Export');
    } finally {
      setExporting(false);
    }
  };

  return (
    <>
      <PageHeader
        title="Sessions"
        actions={
          <Button disabled={exporting} onClick={save}>
            <Download size={14} aria-hidden /> {exporting ? 'Exporting…' : 'Export CSV'}
          </Button>
        }
      >
        <Totals page={totals} />
      </PageHeader>
      <search aria-label="Filter sessions" className="mb-3 flex flex-wrap items-center gap-2">
        <FoundInput
          kind="room"
          inputRef={roomInput}
          label="Room (part of the name)"
          placeholder="Room"
          hotkey="/"
          className="w-40 max-sm:w-[calc(50%-0.25rem)]"
          value={roomContains ?? room ?? ''}
          onType={(value) => set({ roomContains: value || undefined, room: undefined })}
        />
        <FoundInput
          kind="identity"
          label="Participant (part of the name or identity)"
          placeholder="Participant"
          className="w-40 max-sm:w-[calc(50%-0.25rem)]"
          value={participantContains ?? identity ?? ''}
          onType={(value) => set({ participantContains: value || undefined, identity: undefined })}
        />
        <WhenFilter key={cleared} last={last} from={from} to={to} onChange={set} />
        <Select
          aria-label="Sort by"
          className="lg:hidden"
          value={`${sort} ${desc}`}
          onChange={({ target }) => {
            const [by, down] = target.value.split(' ');
            set({ sort: SESSION_SORTS.find((one) => one === by), desc: down === 'true' });
          }}
        >
          {SESSION_SORTS.flatMap((by) =>
            [true, false].map((down) => (
              <option key={`${by} ${down}`} value={`${by} ${down}`}>
                {sortNames[by]} {down ? '↓' : '↑'}
              </option>
            )),
          )}
        </Select>
        <ProjectSelect projects={projects} value={project} onChange={(next) => set({ project: next })} />
        {TROUBLES.map(({ trouble: one, name }) => (
          <Toggle
            key={one}
            on={troublesOf(trouble).includes(one)}
            onChange={() => set({ trouble: switchTrouble(trouble, one) })}
          >
            {name}
          </Toggle>
        ))}
        <Toggle on={!!search.recorded} onChange={(on) => set({ recorded: on || undefined })}>
          Recorded
        </Toggle>
        <Toggle on={!!search.agents} onChange={(on) => set({ agents: on || undefined })}>
          Agents
        </Toggle>
        <Toggle on={!!search.calls} onChange={(on) => set({ calls: on || undefined })}>
          Calls
        </Toggle>
        {filtered ? (
          <IconButton label="Clear the filters" onClick={clear}>
            <X size={14} />
          </IconButton>
        ) : null}
      </search>

      <Gaps page={data?.pages[0]} />
      <PagedPanel
        length={sessions?.length}
        shown={plural(sessions?.length ?? 0, 'session')}
        more={sort === 'started' && desc ? 'Older sessions' : 'More sessions'}
        empty={
          filtered
            ? { title: 'No session matches', text: 'Try a part of the name, another time, or fewer filters.' }
            : {
                title: 'No sessions yet',
                text: 'A session starts with the first join of a room. It stays here after it ends.',
              }
        }
        onClear={filtered ? clear : undefined}
        query={sessionsQuery}
      >
        <SessionList
          sessions={sessions ?? []}
          showProject={projects.length > 1 && project === undefined}
          sort={sort}
          desc={desc}
          onSort={(by) => set({ sort: by, desc: by === sort ? !desc : true })}
        />
      </PagedPanel>
    </>
  );
}

/** Number of missing times that are shown. */
const GAPS_SHOWN = 3;

/** Times of which sessions are missing, because they were lost with a damaged file. */
function Gaps({ page }: { page: SessionsPage | undefined }) {
  if (!page?.gaps.length) return null;
  const times = page.gaps.slice(-GAPS_SHOWN).map(({ from, to }) => `${dayTime(from)} to ${dayTime(to)}`);
  const more = page.gaps.length - times.length;
  return (
    <p role="note" className="mb-3 flex items-start gap-2 text-warn">
      <TriangleAlert size={14} className="mt-0.5 shrink-0" aria-hidden />
      <span>
        Sessions are missing from {times.join(', and from ')}
        {more > 0 ? `, and from ${plural(more, 'earlier time')}` : ''}. They were lost with a damaged file.
      </span>
    </p>
  );
}

/** "162 sessions · 1,204 participant minutes · peak 31 · 48 people". */
function Totals({ page }: { page: SessionsPage | undefined }) {
  if (!page?.totals) return <span className="num">{'\u00a0'}</span>;
  const { sessions, participantMinutes, peak, people } = page.totals;
  const parts = [
    plural(sessions, 'session'),
    plural(Math.round(participantMinutes), 'participant minute'),
    `peak ${count(peak)}`,
    plural(people, 'person', 'people'),
  ];
  return (
    <span role="status" aria-label="Totals" className="num">
      {page.complete ? '' : 'At least '}
      {parts.join(' · ')}
      {page.complete ? '' : '. Only the newest are counted and sorted: choose a shorter time.'}
    </span>
  );
}
