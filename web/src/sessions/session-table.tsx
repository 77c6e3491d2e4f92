import type { Session, SessionDetail } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { outputWords } from '@/recordings/egress-words';
import { clockTime, duration, words } from '@/ui/format';
import { Name, PersonLink } from '@/ui/person-name';
import { Unknown } from '@/ui/states';
import { KindBadge } from './kind-badge';
import { leaveWords } from './leave-words';
import { useSomeRows } from './some-rows';
import { timelineOf } from './timeline';

/** The facts of the timeline as tables. Each time links to the events at that time. */
export function SessionTable({ detail, now }: { detail: SessionDetail; now: number }) {
  const { session, egress } = detail;
  const { lanes } = timelineOf(detail, now);
  const people = useSomeRows(lanes.length);
  const tracks = useSomeRows(detail.tracks.length);
  const called = new Map(detail.participations.map(({ sid, name }) => [sid, name]));
  const time = (at: number | null, sid?: string) => <EventsAt session={session} at={at} sid={sid} />;
  return (
    <div className="divide-y divide-line">
      <Table caption="Participants" head={['Participant', 'Joined', 'Left', 'Duration', 'Leave reason']}>
        {lanes.slice(0, people.shown).flatMap((lane) =>
          lane.stays.map((stay) => (
            <tr key={stay.participation.sid}>
              <Cell>
                <PersonLink identity={lane.identity} project={session.project} className="font-medium">
                  <Name>{lane.name || lane.identity}</Name>
                </PersonLink>{' '}
                {lane.name ? (
                  <span className="text-xs text-ink-3">
                    <Name>{lane.identity}</Name>
                  </span>
                ) : null}{' '}
                <KindBadge kind={lane.kind} />
              </Cell>
              <Cell>{time(stay.joinKnown ? stay.from : null, stay.participation.sid)}</Cell>
              <Cell>
                {stay.to === null ? (
                  <span className="text-ink-3">–</span>
                ) : stay.uncertainFrom !== null ? (
                  <>
                    {time(stay.uncertainFrom)} … {time(stay.to, stay.participation.sid)}
                  </>
                ) : (
                  time(stay.to, stay.participation.sid)
                )}
              </Cell>
              <Cell>
                <span className="num whitespace-nowrap">
                  {stay.joinKnown ? (
                    <>
                      {stay.uncertainFrom !== null ? 'at most ' : ''}
                      {duration((stay.to ?? now) - stay.from)}
                    </>
                  ) : (
                    <Unknown />
                  )}
                </span>
              </Cell>
              <Cell>{leaveWords(stay)}</Cell>
            </tr>
          )),
        )}
      </Table>
      {people.more}
      {detail.tracks.length > 0 ? (
        <Table caption="Tracks" head={['Participant', 'Track', 'Published', 'Unpublished']}>
          {detail.tracks.slice(0, tracks.shown).map((track) => (
            <tr key={track.sid}>
              <Cell>
                <PersonLink identity={track.identity} project={session.project}>
                  <Name>{called.get(track.participantSid) || track.identity}</Name>
                </PersonLink>{' '}
                {called.get(track.participantSid) ? (
                  <span className="text-xs text-ink-3">
                    <Name>{track.identity}</Name>
                  </span>
                ) : null}
              </Cell>
              <Cell>
                {words(track.source)} <span className="text-ink-3">{track.type}</span> {track.name}
              </Cell>
              <Cell>{time(track.publishedAt, track.sid)}</Cell>
              <Cell>
                {track.unpublishedAt === null ? (
                  <span className="text-ink-3">when they left</span>
                ) : (
                  time(track.unpublishedAt, track.sid)
                )}
              </Cell>
            </tr>
          ))}
        </Table>
      ) : null}
      {tracks.more}
      {egress.length > 0 ? (
        <Table caption="Recordings & streams" head={['Egress', 'State', 'Started', 'Ended']}>
          {egress.map((one) => (
            <tr key={one.egressId}>
              <Cell>
                {outputWords(one)}, {words(one.kind)}{' '}
                <span className="font-mono text-xs text-ink-3">{one.egressId}</span>
              </Cell>
              <Cell>
                {words(one.status)}
                {one.error ? <span className="text-bad">: {one.error}</span> : null}
              </Cell>
              <Cell>{time(one.startedAt)}</Cell>
              <Cell>{one.endedAt === null ? <span className="text-ink-3">in progress</span> : time(one.endedAt)}</Cell>
            </tr>
          ))}
        </Table>
      ) : null}
    </div>
  );
}

function Table({ caption, head, children }: { caption: string; head: string[]; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must scroll by keys too
    <section className="overflow-x-auto" aria-label={caption} tabIndex={0}>
      <table className="w-full text-left">
        <caption className="px-4 pt-3 pb-1 text-left font-medium">{caption}</caption>
        <thead>
          <tr>
            {head.map((title) => (
              <th key={title} scope="col" className="px-4 py-1.5 text-xs font-normal text-ink-3">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody className="divide-y divide-line">{children}</tbody>
      </table>
    </section>
  );
}

const Cell = ({ children }: { children: ReactNode }) => <td className="px-4 py-1.5 align-baseline">{children}</td>;

/** A time that links to the events at that time. */
function EventsAt({ session, at, sid }: { session: Session; at: number | null; sid?: string }) {
  if (at === null) return <Unknown />;
  return (
    <Link
      to="/events"
      search={{ room: session.room, project: session.project, t: at, sid }}
      className="num font-mono text-xs underline decoration-line-strong underline-offset-2 hover:text-accent"
    >
      {clockTime(at)}
    </Link>
  );
}
