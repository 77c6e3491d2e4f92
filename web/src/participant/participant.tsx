import { type Person, useMe } from '@roomwatch/react';
import { getRouteApi, Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { EventFeed } from '@/events/event-feed';
import { LiveMark } from '@/sessions/live-mark';
import { Badge } from '@/ui/badge';
import { buttonClass } from '@/ui/button';
import { Sid } from '@/ui/copy';
import { codeOf } from '@/ui/errors';
import { count, duration, fullTime, words } from '@/ui/format';
import { KIND_NAMES } from '@/ui/kind-names';
import { PageHeader, Panel } from '@/ui/panel';
import { Name } from '@/ui/person-name';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { Age, DayTime } from '@/ui/time';
import { StayList } from './stay-list';
import { useParticipant } from './use-participant';

/** Number of events below the stays. */
const EVENTS = 50;

const route = getRouteApi('/shell/participants/$identity');

/** Page of a participant: where they are, their stays in rooms, and their events. */
export function ParticipantPage() {
  const { identity } = route.useParams();
  const { project } = route.useSearch();
  const { data, error, refetch } = useParticipant(identity, project);

  if (!data) {
    return (
      <>
        <PageHeader title={<Name>{identity}</Name>} name={identity}>
          Participant
        </PageHeader>
        <Panel flush>
          {codeOf(error) === 'project_required' ? (
            <Projects identity={identity} />
          ) : error?.status === 404 ? (
            <Empty
              title="Participant not found"
              action={
                <Link to="/sessions" activeOptions={{ exact: true }} className={buttonClass('outline')}>
                  All sessions
                </Link>
              }
            >
              Check the identity. The sessions of this participant may belong to another project, or be older than the
              retention.
            </Empty>
          ) : error ? (
            <ErrorState error={error} onRetry={() => refetch()} />
          ) : (
            <Skeleton rows={10} />
          )}
        </Panel>
      </>
    );
  }
  return <Known person={data} />;
}

/** The identity exists in several projects: which participant is meant? */
function Projects({ identity }: { identity: string }) {
  const projects = useMe().data?.projects ?? [];
  return (
    <Empty
      title="Choose a project"
      action={projects.map((name) => (
        <Link
          key={name}
          to="/participants/$identity"
          params={{ identity }}
          search={{ project: name }}
          className={buttonClass('outline')}
        >
          {name}
        </Link>
      ))}
    >
      Each project has its own participants.
    </Empty>
  );
}

function Known({ person }: { person: Person }) {
  const { identity, project, name, present } = person;
  const several = (useMe().data?.projects.length ?? 0) > 1;
  const title = name || identity;
  return (
    <>
      <PageHeader
        title={<Name>{title}</Name>}
        name={title}
        actions={
          <>
            <Link to="/events" search={{ participant: identity, project }} className={buttonClass('outline')}>
              View events
            </Link>
            <Link to="/sessions" search={{ identity, project }} className={buttonClass('outline')}>
              All sessions
            </Link>
          </>
        }
      >
        <span className="flex flex-wrap items-center gap-x-2.5 gap-y-1">
          {present.length > 0 ? <LiveMark /> : null}
          {person.kinds
            .filter((kind) => kind !== 'standard')
            .map((kind) => (
              <Badge key={kind}>{KIND_NAMES[kind] ?? words(kind)}</Badge>
            ))}
          <Sid>{identity}</Sid>
          {person.phone ? <Sid>{person.phone}</Sid> : null}
          {several ? <span>{project}</span> : null}
          {person.otherNames.length > 0 ? (
            <span className="text-ink-3">
              also{' '}
              {person.otherNames.map((other, at) => (
                <span key={other}>
                  {at > 0 ? ', ' : ''}
                  <Name>{other}</Name>
                </span>
              ))}
            </span>
          ) : null}
        </span>
      </PageHeader>

      {present.length > 0 ? (
        <Panel className="mb-4" label="Now">
          <ul className="flex flex-wrap gap-x-6 gap-y-1">
            {present.map((stay) => (
              <li key={stay.participantSid}>
                <span className="text-ink-2">Now in </span>
                <Link
                  to="/rooms/$room"
                  params={{ room: stay.room }}
                  search={{ project, sid: stay.sessionSid }}
                  className="font-medium hover:underline"
                >
                  {stay.room}
                </Link>{' '}
                <span className="text-xs text-ink-3">
                  for <Age since={stay.joinedAt} />
                </span>
              </li>
            ))}
          </ul>
        </Panel>
      ) : null}

      <dl className="mb-4 grid grid-cols-[repeat(auto-fit,minmax(8.5rem,1fr))] gap-px overflow-hidden rounded-lg border border-line bg-line shadow-card">
        <Fact name="First seen">
          <DayTime at={person.firstSeenAt} />
        </Fact>
        <Fact name="Last seen">{person.lastSeenAt === null ? 'now' : <DayTime at={person.lastSeenAt} />}</Fact>
        <Fact name="Sessions">{count(person.sessions)}</Fact>
        <Fact name="Rooms">{count(person.rooms)}</Fact>
        <Fact name="Time in rooms">{duration(person.presentMs)}</Fact>
        <Fact name="Connection losses">
          <span className={person.connectionLosses > 0 ? 'text-bad' : ''}>{count(person.connectionLosses)}</span>
        </Fact>
      </dl>
      {person.countedSince !== null ? (
        <p className="-mt-2 mb-4 text-xs text-ink-3">
          This participant has more stays than are counted. The numbers cover the newest, since{' '}
          {fullTime(person.countedSince)}.
        </p>
      ) : null}

      <div className="grid items-start gap-4 lg:grid-cols-2">
        <Panel title="Stays" flush label="Stays" className="overflow-hidden">
          <StayList person={person} />
        </Panel>
        <Panel
          title="Events"
          flush
          label="Events"
          className="overflow-hidden"
          aside={
            <Link
              to="/events"
              search={{ participant: identity, project }}
              className="text-xs text-ink-2 hover:underline"
            >
              All events
            </Link>
          }
        >
          <EventFeed
            participant={identity}
            project={project}
            limit={EVENTS}
            className="max-h-[36rem] overflow-y-auto"
          />
        </Panel>
      </div>
    </>
  );
}

const Fact = ({ name, children }: { name: string; children: ReactNode }) => (
  <div className="bg-surface px-4 py-2.5">
    <dt className="text-xs text-ink-3">{name}</dt>
    <dd className="num mt-0.5 font-medium">{children}</dd>
  </div>
);
