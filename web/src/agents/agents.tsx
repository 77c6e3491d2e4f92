import { type Agent, type Condition, useAgents, useMe } from '@roomwatch/react';
import { getRouteApi, Link } from '@tanstack/react-router';
import { Bot, OctagonAlert } from 'lucide-react';
import { useState } from 'react';
import { LiveMark } from '@/sessions/live-mark';
import { Badge } from '@/ui/badge';
import { Button } from '@/ui/button';
import { count, duration, plural, words } from '@/ui/format';
import { PageHeader, Panel } from '@/ui/panel';
import { ProjectSelect } from '@/ui/project-select';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { Age, Ago } from '@/ui/time';

/** Rooms of one agent that are shown before "Show all". */
const ROOMS_SHOWN = 6;

const route = getRouteApi('/shell/agents');

/** Agents page: where agents are now, what they did in the last week, and which rooms have none. */
export function Agents() {
  const { project } = route.useSearch();
  const navigate = route.useNavigate();
  const projects = useMe().data?.projects ?? [];
  const { data, error, refetch } = useAgents({ project });
  const missing = data?.missing ?? [];
  const showProject = projects.length > 1 && project === undefined;
  return (
    <>
      <PageHeader
        title="Agents"
        actions={
          <ProjectSelect
            projects={projects}
            value={project}
            onChange={(next) => navigate({ search: { project: next }, replace: true })}
          />
        }
      >
        Participants of kind AGENT, by the name of their worker.
      </PageHeader>
      {missing.length || data?.missedWeek ? (
        <Panel
          flush
          className="mb-4"
          label="Rooms without their agent"
          title={`Rooms without their agent${missing.length ? ` · ${count(missing.length)}` : ''}`}
          aside={
            <span className="num text-xs text-ink-2">
              {plural(data?.missedDay ?? 0, 'time')} in 24 hours, {count(data?.missedWeek ?? 0)} in 7 days
            </span>
          }
        >
          {missing.length ? null : <p className="px-4 py-2.5 text-ink-2">None now.</p>}
          <ul className="divide-y divide-line">
            {missing.map((condition) => (
              <Missing key={`${condition.project} ${condition.id}`} condition={condition} showProject={showProject} />
            ))}
          </ul>
        </Panel>
      ) : null}
      <Panel flush className="overflow-hidden">
        {!data ? (
          error ? (
            <ErrorState error={error} onRetry={() => refetch()} />
          ) : (
            <Skeleton rows={6} />
          )
        ) : data.agents.length === 0 ? (
          <Empty icon={<Bot size={22} />} title="No agent in the last seven days">
            Agents appear here when a worker of livekit-agents, or another participant of kind AGENT, joins a room.
          </Empty>
        ) : (
          <>
            {error ? <p className="border-b border-line px-4 py-2 text-xs text-bad">{error.message}</p> : null}
            <ul aria-label="Agents" className="divide-y divide-line">
              {data.agents.map((agent) => (
                <Row key={`${agent.project} ${agent.name ?? ''}`} agent={agent} showProject={showProject} />
              ))}
            </ul>
          </>
        )}
      </Panel>
    </>
  );
}

function Missing({ condition, showProject }: { condition: Condition; showProject: boolean }) {
  const { project, room, roomSid, since, values } = condition;
  const agent = typeof values.agent === 'string' && values.agent !== '' ? values.agent : null;
  return (
    <li className="flex items-start gap-2.5 px-4 py-2.5">
      <OctagonAlert size={16} aria-hidden className="mt-0.5 shrink-0 text-bad" />
      <p className="min-w-0 grow break-words">
        <Link
          to="/rooms/$room"
          params={{ room: room ?? '' }}
          search={{ project, sid: roomSid ?? undefined }}
          className="font-medium hover:underline"
        >
          {room}
        </Link>
        <span className="text-ink-2">
          {agent ? ` · dispatched to ${agent}` : ''}
          {showProject ? ` · ${project}` : ''}
        </span>
      </p>
      <span className="num shrink-0 text-xs text-ink-2">
        waiting for <Age since={since} />
      </span>
    </li>
  );
}

function Row({ agent, showProject }: { agent: Agent; showProject: boolean }) {
  const { project, name, live, rooms, sessionsDay, sessionsWeek, minutesWeek, failuresDay, failuresWeek } = agent;
  const [all, setAll] = useState(false);
  const shown = all ? rooms : rooms.slice(0, ROOMS_SHOWN);
  return (
    <li className="px-4 py-3">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <Bot size={15} aria-hidden className={live ? 'text-good' : 'text-ink-3'} />
        <span className="min-w-0 font-medium break-all">
          {name ?? <span title="Its worker has no name, or has not told it.">Agents without a name</span>}
        </span>
        {live ? <Badge tone="good">{count(live)} live</Badge> : null}
        {failuresWeek ? (
          <Badge tone="bad" title="Agents that left with AGENT_ERROR">
            {plural(failuresWeek, 'failure')} in 7 days
            {failuresDay ? `, ${count(failuresDay)} in 24 hours` : ''}
          </Badge>
        ) : null}
        {showProject ? <span className="text-xs text-ink-3">{project}</span> : null}
        <span className="num ml-auto text-xs text-ink-2">
          {live ? (
            <LiveMark />
          ) : (
            <>
              last seen <Ago at={agent.lastSeenAt} />
            </>
          )}
        </span>
      </div>
      <dl className="mt-1.5 flex flex-wrap gap-x-6 gap-y-1 text-xs">
        <Fact name="Sessions in 24 hours">{count(sessionsDay)}</Fact>
        <Fact name="Sessions in 7 days">{count(sessionsWeek)}</Fact>
        <Fact name="Agent time in 7 days">{minutesWeek < 1 ? 'under a minute' : duration(minutesWeek * 60_000)}</Fact>
      </dl>
      {rooms.length ? (
        <ul aria-label={`Rooms of ${name ?? 'agents without a name'}`} className="mt-2 flex flex-wrap gap-x-4 gap-y-1">
          {shown.map((one) => (
            <li key={one.participantSid} className="flex min-w-0 items-baseline gap-1.5">
              <Link
                to="/rooms/$room"
                params={{ room: one.room }}
                search={{ project, sid: one.roomSid }}
                className="min-w-0 font-medium break-all hover:underline"
              >
                {one.room}
              </Link>
              <span className="num text-xs text-ink-3">
                {one.state ? `${words(one.state)} · ` : ''}
                {one.joinedAt === null ? 'since an unknown time' : <Age since={one.joinedAt} />}
              </span>
            </li>
          ))}
          {rooms.length > ROOMS_SHOWN ? (
            <li>
              <Button variant="ghost" className="!h-6 text-xs" onClick={() => setAll(!all)}>
                {all ? 'Show fewer' : `Show all ${count(rooms.length)}`}
              </Button>
            </li>
          ) : null}
          {all && live > rooms.length ? (
            <li className="text-xs text-ink-3">and {count(live - rooms.length)} more</li>
          ) : null}
        </ul>
      ) : null}
    </li>
  );
}

const Fact = ({ name, children }: { name: string; children: string }) => (
  <div className="flex gap-1.5">
    <dt className="text-ink-3">{name}</dt>
    <dd className="num">{children}</dd>
  </div>
);
