import { type EgressEntry, useEgress, useMe, useProjects } from '@roomwatch/react';
import { getRouteApi, Link } from '@tanstack/react-router';
import { Cast, CircleDot, Globe, Images, type LucideIcon, X } from 'lucide-react';
import { useMemo, useRef, useState } from 'react';
import { ExportButton } from '@/export/export-button';
import { partFile } from '@/page-file';
import { useShortcuts } from '@/shell/shortcuts';
import { Badge } from '@/ui/badge';
import { Button, IconButton } from '@/ui/button';
import { CopyButton, Sid } from '@/ui/copy';
import { type Chip, FilterChips } from '@/ui/filter-chips';
import { bytes, duration, plural, words } from '@/ui/format';
import { PagedPanel } from '@/ui/paged-panel';
import { PageHeader } from '@/ui/panel';
import { ProjectSelect } from '@/ui/project-select';
import { Age, DayTime } from '@/ui/time';
import { TypedInput } from '@/ui/typed-input';
import { timesOf } from '@/ui/when';
import { WhenFilter } from '@/ui/when-filter';
import { outputWords, ranFor, STATUSES, statusTone, TROUBLE } from './egress-words';

const StartEgress = partFile(async () => (await import('./start-egress')).StartEgress);
const StopEgress = partFile(async () => (await import('./stop-egress')).StopEgress);
const IngressPanel = partFile(async () => (await import('./ingress')).IngressPanel);

const PAGE = 50;

const route = getRouteApi('/shell/recordings');

/** Recordings page: egress, running and ended, the newest first, with the reasons of failures. */
export function Recordings() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const projects = useMe().data?.projects ?? [];
  const roomInput = useRef<HTMLInputElement>(null);
  const { last, from, to, ...filter } = search;
  // The end of a span stays the same while the filter does: else each render would be another query.
  const times = useMemo(() => timesOf({ last, from, to }, Date.now()), [last, from, to]);
  const query = useEgress({ ...filter, ...times, limit: PAGE });
  const { data } = query;
  const [cleared, setCleared] = useState(0);
  useShortcuts('Recordings', [{ keys: '/', label: 'Search by room', run: () => roomInput.current?.focus() }]);

  const set = (next: Partial<typeof search>) =>
    navigate({ search: (before) => ({ ...before, ...next }), replace: true, resetScroll: false });
  const clear = () => {
    setCleared(cleared + 1);
    navigate({ search: {}, replace: true });
  };
  const filtered = Object.values(search).some((value) => value !== undefined);
  const entries = data?.pages.flatMap((page) => page.egress);
  const counts = data?.pages[0]?.counts ?? {};
  const of = (status: string) => counts[status] ?? 0;
  const chips: Chip<string>[] = [
    {
      value: 'trouble',
      name: 'All trouble',
      count: TROUBLE.reduce((sum, status) => sum + of(status), 0),
      bad: true,
      always: true,
    },
    ...STATUSES.map((status) => ({
      value: status,
      name: status === 'limit_reached' ? 'Limit reached' : `${status.charAt(0).toUpperCase()}${status.slice(1)}`,
      count: of(status),
      bad: TROUBLE.includes(status),
    })),
  ];

  return (
    <>
      <PageHeader
        title="Recordings & streams"
        actions={
          <>
            <RecordPage project={search.project} />
            <ExportButton name="recordings and streams" path="/api/egress" query={{ ...filter, ...times }} />
          </>
        }
      >
        LiveKit egress: what was recorded or streamed out of rooms.
      </PageHeader>
      <search aria-label="Filter recordings" className="mb-3 flex flex-wrap items-center gap-2">
        <TypedInput
          inputRef={roomInput}
          label="Room (part of the name)"
          placeholder="Room"
          hotkey="/"
          className="w-52 max-sm:w-full"
          value={search.room ?? ''}
          onType={(value) => set({ room: value || undefined })}
        />
        <WhenFilter key={cleared} last={last} from={from} to={to} onChange={set} />
        <ProjectSelect projects={projects} value={search.project} onChange={(project) => set({ project })} />
        {filtered ? (
          <IconButton label="Clear the filters" onClick={clear}>
            <X size={14} />
          </IconButton>
        ) : null}
      </search>
      <FilterChips label="Status" chips={chips} value={search.status} onChange={(status) => set({ status })} />

      <PagedPanel
        length={entries?.length}
        shown={plural(entries?.length ?? 0, 'entry', 'entries')}
        more="Older entries"
        empty={
          filtered
            ? {
                title: 'No egress matches',
                text:
                  search.status === 'trouble' && !search.room && !last && !from && !to
                    ? 'No recording or stream has failed.'
                    : 'Try another status, or a shorter part of the name.',
              }
            : {
                title: 'No recordings yet',
                text: 'Recordings and streams appear here as soon as LiveKit starts an egress.',
              }
        }
        onClear={filtered ? clear : undefined}
        query={query}
      >
        <ul aria-label="Egress" className="divide-y divide-line">
          {entries?.map((entry) => (
            <Row
              key={`${entry.project} ${entry.egressId ?? entry.beganAt}`}
              entry={entry}
              showProject={projects.length > 1 && search.project === undefined}
            />
          ))}
        </ul>
      </PagedPanel>
      <Ingress project={search.project} />
    </>
  );
}

/** Button that records a web page, if a preset is for pages. With several projects, the filter says which. */
function RecordPage({ project }: { project: string | undefined }) {
  const [open, setOpen] = useState(false);
  const all = useProjects().data ?? [];
  const offers = all.filter(({ egressPresets }) => egressPresets.some(({ kind }) => kind === 'web'));
  const found = offers.find(({ name }) => name === project) ?? (offers.length === 1 ? offers[0] : undefined);
  if (offers.length === 0) return null;
  return (
    <>
      <Button reason={found ? null : 'Choose a project first'} onClick={() => setOpen(true)}>
        <Globe size={14} /> Record a page
      </Button>
      {open && found ? <StartEgress project={found.name} onClose={() => setOpen(false)} /> : null}
    </>
  );
}

/** Maximum number of projects whose ingress is shown: each costs a question to its LiveKit. */
const INGRESS_PROJECTS_MAX = 5;

function Ingress({ project }: { project: string | undefined }) {
  const all = useProjects().data?.filter(({ ingress }) => ingress === 'ok') ?? [];
  const shown = project === undefined ? all : all.filter(({ name }) => name === project);
  if (shown.length > INGRESS_PROJECTS_MAX) return null;
  return shown.map((one) => <IngressPanel key={one.name} project={one} showProject={all.length > 1} />);
}

const ICONS: Record<string, LucideIcon> = { stream: Cast, images: Images };

function Row({ entry, showProject }: { entry: EgressEntry; showProject: boolean }) {
  const { project, room, roomSid, egressId, kind, status, error, details, outputs, live } = entry;
  const Icon = ICONS[outputs[0]?.kind ?? ''] ?? CircleDot;
  const ran = ranFor(entry);
  return (
    <li className="flex gap-3 px-4 py-2.5">
      <Icon size={15} aria-hidden className={live ? 'mt-0.5 shrink-0 text-bad' : 'mt-0.5 shrink-0 text-ink-3'} />
      <div className="min-w-0 grow">
        <div className="flex flex-wrap items-baseline gap-x-2 gap-y-1">
          <span className="font-medium">{outputWords(entry)}</span>{' '}
          {room ? (
            <span className="min-w-0 break-words">
              <span className="text-ink-3">of </span>
              {roomSid ? (
                <Link
                  to="/sessions/$sid"
                  params={{ sid: roomSid }}
                  search={{ project }}
                  preload={false}
                  className="font-medium hover:underline"
                >
                  {room}
                </Link>
              ) : (
                room
              )}
            </span>
          ) : null}
          <Badge tone={statusTone(status)}>{words(status)}</Badge>
          <span className="text-xs text-ink-3">
            {words(kind)}
            {showProject ? ` · ${project}` : ''}
          </span>
        </div>
        {error ? <p className="mt-0.5 break-words text-bad">{error}</p> : null}
        {details ? <p className="mt-0.5 text-xs break-words text-ink-2">{details}</p> : null}
        <ul className="mt-0.5 space-y-0.5">
          {outputs.map((output, n) => {
            const target = output.location || output.name;
            return (
              // biome-ignore lint/suspicious/noArrayIndexKey: two outputs can be equal, and the order stays
              <li key={`${target} ${n}`} className="flex flex-wrap items-center gap-x-1.5 text-xs">
                {target ? (
                  <span className="flex min-w-0 items-center gap-x-1.5">
                    <code className="min-w-0 font-mono break-all text-ink-2">{target}</code>
                    <CopyButton text={target} label={`Copy ${target}`} />
                  </span>
                ) : (
                  <span className="text-ink-3">no output named</span>
                )}
                {output.durationMs ? <span className="num text-ink-3">{duration(output.durationMs)}</span> : null}
                {output.sizeBytes ? <span className="num text-ink-3">{bytes(output.sizeBytes)}</span> : null}
                {output.error ? <span className="text-bad">{output.error}</span> : null}
              </li>
            );
          })}
        </ul>
        <div className="mt-0.5 flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-ink-3">
          <span className="num sm:hidden">
            <DayTime at={entry.beganAt} />
          </span>
          {egressId ? <Sid>{egressId}</Sid> : <span>never launched, so without an id</span>}
          {room && live ? (
            <Link
              to="/rooms/$room"
              params={{ room }}
              search={{ project, sid: roomSid ?? undefined }}
              className="text-accent hover:underline"
            >
              Open room
            </Link>
          ) : null}
          {live ? <StopEgress egress={entry} /> : null}
        </div>
      </div>
      <div className="num shrink-0 text-right text-xs text-ink-2 max-sm:hidden">
        <DayTime at={entry.beganAt} />
        <div className="text-ink-3">
          {live ? (
            <>
              for <Age since={entry.beganAt} />
            </>
          ) : (
            (ran ?? 'did not start')
          )}
        </div>
      </div>
    </li>
  );
}
