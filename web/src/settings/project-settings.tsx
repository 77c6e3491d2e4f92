import { type Project, useMe } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import { TriangleAlert } from 'lucide-react';
import { type ReactNode, useState } from 'react';
import { sinceText } from '@/shell/livekit-away';
import { plural, words } from '@/ui/format';
import { Panel } from '@/ui/panel';
import { Unknown } from '@/ui/states';
import { Ago, DayTime } from '@/ui/time';
import { ProjectState } from './project-health';
import { explainRejection } from './rejections';
import { TestEvent, WebhookHelper, WebhookState } from './webhook-helper';

/** Advice for each bad state of LiveKit. */
const advice: Record<string, string> = {
  unreachable:
    'Webhooks still arrive, but missed ones are not found and commands fail. Check the URL in roomwatch.toml and the network between Roomwatch and LiveKit.',
  unauthorized: 'LiveKit does not accept the key or its secret. Compare both with keys: in livekit.yaml.',
  unconfigured:
    'Without a URL Roomwatch cannot sync, mute, remove or watch. Set url in roomwatch.toml, or LIVEKIT_URL.',
};

/** Settings of one project: its health, its webhook, and how to set both up. */
export function ProjectSettings({ project }: { project: Project }) {
  const { lastRejected, corrections, reconcileEverySecs } = project;
  const rejection = lastRejected ? explainRejection(lastRejected.reason, lastRejected.iss) : null;
  // A newer webhook was accepted: the cause is fixed, or the rejected one was not from LiveKit.
  const past = lastRejected !== null && (project.lastWebhookAt ?? 0) > lastRejected.at;
  const demo = useMe().data?.demo === true;
  const todo = demo
    ? 'The meetings and this LiveKit are simulated. Commands act on them. Some failures are on purpose.'
    : advice[project.state];
  // The value at the first render: the first webhook must not close what the user is reading.
  const [unset] = useState(project.lastWebhookAt === null);
  return (
    <Panel title={project.name} aside={<ProjectState state={project.state} />} flush>
      <div className="divide-y divide-line">
        <Section title="LiveKit">
          <dl className="mb-2 grid grid-cols-[9rem_minmax(0,1fr)] gap-x-4 gap-y-1.5 max-sm:grid-cols-1">
            <Fact name="URL">
              {project.url ? <code className="font-mono text-xs break-all">{project.url}</code> : 'none set'}
            </Fact>
            <Fact name="Last sync">
              {project.reconciledAt ? <Ago at={project.reconciledAt} /> : 'not yet'}
              {reconcileEverySecs ? (
                <span className="text-ink-3"> (every {reconcileEverySecs} s)</span>
              ) : (
                <span className="text-warn">, switched off</span>
              )}
            </Fact>
            <Fact name="Services">
              egress <Available state={project.egress} />, ingress <Available state={project.ingress} />
            </Fact>
          </dl>
          {project.error ? <p className="break-words text-bad">{project.error}</p> : null}
          {todo ? <p className="text-ink-2">{todo}</p> : null}
        </Section>

        <Section title="Webhook">
          <WebhookState project={project} />
          {lastRejected && rejection ? (
            <div className={past ? 'mt-3 rounded-md bg-sunken p-3 text-ink-2' : 'mt-3 rounded-md bg-warn-soft p-3'}>
              <p className="flex items-center gap-2 font-medium">
                <TriangleAlert size={14} aria-hidden className="text-warn" />
                <span>
                  {past ? 'Before that, a webhook was rejected' : 'A webhook was rejected'} <Ago at={lastRejected.at} />
                </span>
              </p>
              <p className="mt-1 break-words">{rejection.what}</p>
              <p className="mt-1 break-words text-ink-2">{rejection.todo}</p>
            </div>
          ) : null}
          <div className="mt-3">
            <TestEvent project={project} />
          </div>
          <details className="mt-3" open={unset}>
            <summary className="w-fit font-medium">Set up the webhook</summary>
            <div className="mt-3">
              <WebhookHelper project={project} />
            </div>
          </details>
        </Section>

        <Section title="Found by sync">
          {corrections.total === 0 ? (
            <p className="text-ink-2">
              {project.reconciledAt ? 'Nothing so far. Roomwatch and LiveKit agree.' : 'Unknown before the first sync.'}
            </p>
          ) : (
            <>
              <p className="text-ink-2">
                {plural(corrections.total, 'change')} found by sync since {sinceText(corrections.since)}. LiveKit sends
                no webhooks for mutes and metadata.
              </p>
              <ul className="mt-2 divide-y divide-line">
                {corrections.last.map((one) => (
                  <li key={`${one.at} ${one.type} ${one.sid}`} className="flex flex-wrap items-baseline gap-x-3 py-1">
                    <span className="num w-28 text-xs text-ink-3">
                      <DayTime at={one.at} />
                    </span>
                    <span className="font-mono text-xs">{one.type}</span>
                    {one.room ? (
                      <Link
                        to="/events"
                        search={{ room: one.room, project: project.name, t: one.at }}
                        className="hover:text-accent hover:underline"
                      >
                        {one.room}
                      </Link>
                    ) : null}
                    <span className="text-ink-3">{one.why}</span>
                  </li>
                ))}
              </ul>
            </>
          )}
        </Section>
      </div>
    </Panel>
  );
}

const Section = ({ title, children }: { title: string; children: ReactNode }) => (
  <section className="grid gap-x-6 gap-y-2 p-4 md:grid-cols-[9rem_minmax(0,1fr)]">
    <h3 className="text-ink-2">{title}</h3>
    <div className="min-w-0">{children}</div>
  </section>
);

const Fact = ({ name, children }: { name: string; children: ReactNode }) => (
  <>
    <dt className="text-ink-3">{name}</dt>
    <dd>{children}</dd>
  </>
);

function Available({ state }: { state: string }) {
  if (state === 'unknown') return <Unknown why="Not checked yet" />;
  return <>{state === 'ok' ? 'available' : state === 'unavailable' ? 'not connected' : words(state)}</>;
}
