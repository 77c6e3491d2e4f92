import { type AuditEntry, useMe, useRoomwatch } from '@roomwatch/react';
import { useInfiniteQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { X } from 'lucide-react';
import { ExportButton } from '@/export/export-button';
import { useRefusal } from '@/shell/rights';
import { Badge, type Tone } from '@/ui/badge';
import { IconButton } from '@/ui/button';
import { Select } from '@/ui/field';
import { plural } from '@/ui/format';
import { PagedPanel } from '@/ui/paged-panel';
import { PageHeader, Panel } from '@/ui/panel';
import { Name, PersonLink } from '@/ui/person-name';
import { ProjectSelect } from '@/ui/project-select';
import { Empty } from '@/ui/states';
import { DayTime } from '@/ui/time';
import { TypedInput } from '@/ui/typed-input';
import { ACTIONS, actionWords, isPerson, targetWords } from './audit-words';

const PAGE = 100;
const OUTCOMES = ['done', 'failed', 'refused', 'started'] as const;
const tones: Record<string, Tone> = { done: 'good', failed: 'bad', refused: 'warn', started: 'plain' };

const route = getRouteApi('/shell/audit');

/** Audit page, for admins: who gave which command, the newest first. */
export function Audit() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { client } = useRoomwatch();
  const projects = useMe().data?.projects ?? [];
  const refusal = useRefusal('administer');
  const query = useInfiniteQuery({
    queryKey: ['audit', search],
    queryFn: ({ pageParam, signal }) => client.audit({ ...search, before: pageParam, limit: PAGE }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    enabled: !refusal,
  });
  const { data } = query;
  const entries = data?.pages.flatMap((page) => page.entries);
  const filtered = Object.values(search).some((value) => value !== undefined);
  const set = (next: Partial<typeof search>) =>
    navigate({ search: (before) => ({ ...before, ...next }), replace: true, resetScroll: false });
  const clear = () => navigate({ search: {}, replace: true });

  return (
    <>
      <PageHeader
        title="Audit"
        actions={<ExportButton name="the audit record" path="/api/audit" query={search} reason={refusal} forUsers />}
      >
        Every command, with its user and its outcome. Kept for a year.
      </PageHeader>
      {refusal ? (
        <Panel>
          <Empty title="Only admins can read the audit record">{refusal}</Empty>
        </Panel>
      ) : (
        <>
          <search aria-label="Filter the audit record" className="mb-3 flex flex-wrap items-center gap-2">
            <TypedInput
              label="User (exact)"
              placeholder="User"
              className="w-40 max-sm:w-[calc(50%-0.25rem)]"
              value={search.user ?? ''}
              onType={(value) => set({ user: value || undefined })}
            />
            <TypedInput
              label="Room (exact name)"
              placeholder="Room"
              className="w-48 max-sm:w-[calc(50%-0.25rem)]"
              value={search.room ?? ''}
              onType={(value) => set({ room: value || undefined })}
            />
            <Select
              aria-label="Action"
              value={search.action ?? ''}
              onChange={({ target }) => set({ action: target.value || undefined })}
            >
              <option value="">Any action</option>
              {Object.keys(ACTIONS).map((action) => (
                <option key={action}>{action}</option>
              ))}
            </Select>
            <Select
              aria-label="Outcome"
              value={search.outcome ?? ''}
              onChange={({ target }) => set({ outcome: OUTCOMES.find((one) => one === target.value) })}
            >
              <option value="">Any outcome</option>
              {OUTCOMES.map((outcome) => (
                <option key={outcome}>{outcome}</option>
              ))}
            </Select>
            <ProjectSelect projects={projects} value={search.project} onChange={(project) => set({ project })} />
            {filtered ? (
              <IconButton label="Clear the filters" onClick={clear}>
                <X size={14} />
              </IconButton>
            ) : null}
          </search>
          <PagedPanel
            length={entries?.length}
            shown={plural(entries?.length ?? 0, 'entry', 'entries')}
            more="Older entries"
            empty={
              filtered
                ? { title: 'No command matches', text: 'Names are matched exactly.' }
                : { title: 'No commands yet', text: 'Commands appear here, also those that were refused.' }
            }
            onClear={filtered ? clear : undefined}
            query={query}
          >
            <ul className="divide-y divide-line">
              {entries?.map((entry, at) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: entries have no id, and are only added at the end
                <Entry key={`${entry.at} ${at}`} entry={entry} showProject={projects.length > 1} />
              ))}
            </ul>
          </PagedPanel>
        </>
      )}
    </>
  );
}

function Entry({ entry, showProject }: { entry: AuditEntry; showProject: boolean }) {
  const { user, action, project, room, target, outcome, code, reason } = entry;
  const about = targetWords(action, target);
  return (
    <li className="flex flex-wrap items-baseline gap-x-3 gap-y-1 px-4 py-2">
      <span className="num w-28 shrink-0 text-xs text-ink-3">
        <DayTime at={entry.at} />
      </span>
      <p className="min-w-0 grow break-words">
        <span className="font-medium">{user}</span> <span className="text-ink-2">{actionWords(action)}</span>
        {about ? (
          <>
            {' '}
            <PersonLink identity={isPerson(action) ? about : null} project={project} className="font-medium">
              <Name>{about}</Name>
            </PersonLink>
          </>
        ) : null}
        {room ? (
          <>
            <span className="text-ink-3">{about ? ' in ' : ' '}</span>
            <Link to="/rooms/$room" params={{ room }} search={{ project }} className="font-medium hover:underline">
              {room}
            </Link>
          </>
        ) : null}
        {showProject ? <span className="text-ink-3"> · {project || 'Roomwatch'}</span> : null}
        {reason ? <span className="text-ink-2"> · “{reason}”</span> : null}
      </p>
      <Badge tone={tones[outcome] ?? 'plain'}>
        {outcome}
        {code ? ` · ${code}` : ''}
      </Badge>
    </li>
  );
}
