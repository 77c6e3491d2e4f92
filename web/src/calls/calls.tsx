import { type Call, useCalls, useMe } from '@roomwatch/react';
import { getRouteApi, Link } from '@tanstack/react-router';
import { Phone, PhoneIncoming, PhoneOutgoing, X } from 'lucide-react';
import { useMemo, useRef, useState } from 'react';
import { useShortcuts } from '@/shell/shortcuts';
import { Badge } from '@/ui/badge';
import { IconButton } from '@/ui/button';
import { CopyButton } from '@/ui/copy';
import { FilterChips } from '@/ui/filter-chips';
import { duration, plural } from '@/ui/format';
import { PagedPanel } from '@/ui/paged-panel';
import { PageHeader } from '@/ui/panel';
import { Name } from '@/ui/person-name';
import { ProjectSelect } from '@/ui/project-select';
import { Age, DayTime } from '@/ui/time';
import { TypedInput } from '@/ui/typed-input';
import { timesOf } from '@/ui/when';
import { WhenFilter } from '@/ui/when-filter';
import { callDetail, OUTCOMES, outcomeName, outcomeTone, outcomeWords, TROUBLE } from './call-words';

const PAGE = 50;

const route = getRouteApi('/shell/calls');

/** Calls page: SIP participants, live and ended, the newest first. */
export function Calls() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const projects = useMe().data?.projects ?? [];
  const numberInput = useRef<HTMLInputElement>(null);
  const { last, from, to, ...filter } = search;
  // The end of a span stays the same while the filter does: else each render would be another query.
  const times = useMemo(() => timesOf({ last, from, to }, Date.now()), [last, from, to]);
  const query = useCalls({ ...filter, ...times, limit: PAGE });
  const { data } = query;
  const [cleared, setCleared] = useState(0);
  useShortcuts('Calls', [{ keys: '/', label: 'Search by number', run: () => numberInput.current?.focus() }]);

  const set = (next: Partial<typeof search>) =>
    navigate({ search: (before) => ({ ...before, ...next }), replace: true, resetScroll: false });
  const clear = () => {
    setCleared(cleared + 1);
    navigate({ search: {}, replace: true });
  };
  const filtered = Object.values(search).some((value) => value !== undefined);
  const calls = data?.pages.flatMap((page) => page.calls);
  const counts = data?.pages[0]?.counts ?? {};
  const of = (outcome: string) => counts[outcome] ?? 0;
  const chips = [
    {
      value: 'trouble',
      name: 'All trouble',
      count: TROUBLE.reduce((sum, outcome) => sum + of(outcome), 0),
      bad: true,
      always: true,
    },
    ...OUTCOMES.map((outcome) => ({
      value: outcome,
      name: outcomeName(outcome),
      count: of(outcome),
      bad: TROUBLE.includes(outcome),
    })),
  ];

  return (
    <>
      <PageHeader title="Calls">Phone calls: LiveKit’s SIP participants, live and ended.</PageHeader>
      <search aria-label="Filter calls" className="mb-3 flex flex-wrap items-center gap-2">
        <TypedInput
          inputRef={numberInput}
          label="Number (part)"
          placeholder="Number"
          hotkey="/"
          className="w-48 max-sm:w-[calc(50%-0.25rem)]"
          value={search.number ?? ''}
          onType={(value) => set({ number: value || undefined })}
        />
        <TypedInput
          label="Room (part of the name)"
          placeholder="Room"
          className="w-44 max-sm:w-[calc(50%-0.25rem)]"
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
      <FilterChips label="Outcome" chips={chips} value={search.outcome} onChange={(outcome) => set({ outcome })} />

      <PagedPanel
        length={calls?.length}
        shown={plural(calls?.length ?? 0, 'call')}
        more="Older calls"
        empty={
          filtered
            ? { title: 'No call matches', text: 'Try another outcome, or fewer digits of the number.' }
            : {
                title: 'No calls yet',
                text: 'Calls appear here when LiveKit’s SIP service brings a phone into a room.',
              }
        }
        onClear={filtered ? clear : undefined}
        query={query}
      >
        <ul aria-label="Calls" className="divide-y divide-line">
          {calls?.map((call) => (
            <Row
              key={`${call.roomSid} ${call.participantSid}`}
              call={call}
              showProject={projects.length > 1 && search.project === undefined}
            />
          ))}
        </ul>
      </PagedPanel>
    </>
  );
}

const DIRECTIONS: Record<string, { icon: typeof Phone; word: string }> = {
  inbound: { icon: PhoneIncoming, word: 'Inbound' },
  outbound: { icon: PhoneOutgoing, word: 'Outbound' },
};

function Row({ call, showProject }: { call: Call; showProject: boolean }) {
  const { project, room, roomSid, number, identity, name, direction, trunkNumber, trunkId, callId } = call;
  const { icon: Icon, word } = DIRECTIONS[direction ?? ''] ?? { icon: Phone, word: 'Call' };
  const live = call.endedAt === null;
  const who = number ?? (name || identity);
  const trunk = [trunkNumber, trunkId].filter((one) => one !== null).join(' · ');
  const detail = callDetail(call);
  return (
    <li className="flex gap-3 px-4 py-2.5">
      <Icon size={15} aria-hidden className={live ? 'mt-0.5 shrink-0 text-good' : 'mt-0.5 shrink-0 text-ink-3'} />
      <div className="min-w-0 grow">
        <div className="flex flex-wrap items-baseline gap-x-2 gap-y-1">
          <span className="text-ink-3">{word}</span>{' '}
          <span className="num font-medium break-all">
            <Name>{who}</Name>
          </span>{' '}
          <span className="min-w-0 break-words">
            <span className="text-ink-3">in </span>
            <Link
              to="/sessions/$sid"
              params={{ sid: roomSid }}
              search={{ project }}
              preload={false}
              className="font-medium hover:underline"
            >
              {room}
            </Link>
          </span>
          <Badge tone={outcomeTone(call.outcome)}>{outcomeWords(call)}</Badge>
          {detail ? <span className="text-xs text-ink-3">{detail}</span> : null}
        </div>
        <div className="mt-0.5 flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-ink-3">
          <span className="num sm:hidden">
            <DayTime at={call.startedAt} />
          </span>
          {number && name && name !== number ? (
            <span className="break-all">
              <Name>{name}</Name>
            </span>
          ) : null}
          {trunk ? <span className="num break-all">trunk {trunk}</span> : null}
          {callId ? (
            <span className="inline-flex items-center gap-0.5">
              <code className="font-mono break-all">{callId}</code>
              <CopyButton text={callId} label={`Copy ${callId}`} />
            </span>
          ) : null}
          {showProject ? <span>{project}</span> : null}
          {live ? (
            <Link
              to="/rooms/$room"
              params={{ room }}
              search={{ project, sid: roomSid }}
              className="text-accent hover:underline"
            >
              Open room
            </Link>
          ) : null}
        </div>
      </div>
      <div className="num shrink-0 text-right text-xs text-ink-2">
        <div className="max-sm:hidden">
          <DayTime at={call.startedAt} />
        </div>
        <div className="text-ink-3">
          {call.endedAt === null ? <Age since={call.startedAt} /> : duration(call.endedAt - call.startedAt)}
        </div>
      </div>
    </li>
  );
}
