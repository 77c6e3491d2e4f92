import { type ClusterNode, type Cluster as Deployment, useRoomwatch } from '@roomwatch/react';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useRefusal } from '@/shell/rights';
import { Badge } from '@/ui/badge';
import { bytes, count, duration, plural } from '@/ui/format';
import { PageHeader, Panel } from '@/ui/panel';
import { Empty, ErrorState, Skeleton, Unknown } from '@/ui/states';
import { Age, Ago, DayTime } from '@/ui/time';
import { jobWords, nodeState, streamWords } from './node-words';

const DOCS = 'https://github.com/roomwatch/roomwatch/blob/main/docs/cluster.md';
/** Nodes describe themselves every five seconds. */
const REFRESH_MS = 5_000;

type Engine = NonNullable<Deployment['engine']>;
type Stream = Engine['streams'][number];

/** Cluster page, for operators: the nodes of a deployment, and the NATS servers of their log. */
export function Cluster() {
  const { client } = useRoomwatch();
  const refusal = useRefusal('attend');
  const { data, error, refetch } = useQuery({
    queryKey: ['cluster'],
    queryFn: ({ signal }) => client.cluster(signal),
    refetchInterval: REFRESH_MS,
    enabled: !refusal,
  });
  return (
    <>
      <PageHeader title="Cluster">The nodes of this deployment, and the servers of their log.</PageHeader>
      {refusal ? (
        <Panel>
          <Empty title="Only operators can see the cluster">{refusal}</Empty>
        </Panel>
      ) : data ? (
        <div className="space-y-4">
          {error ? (
            <p role="status" className="rounded-md bg-warn-soft px-4 py-2 text-warn">
              This page is not up to date: the server does not answer.
            </p>
          ) : null}
          <Known deployment={data} />
        </div>
      ) : (
        <Panel flush>
          {error ? <ErrorState error={error} onRetry={() => void refetch()} /> : <Skeleton rows={6} />}
        </Panel>
      )}
    </>
  );
}

function Known({ deployment: { nodes, engine } }: { deployment: Deployment }) {
  if (!engine) {
    const version = nodes[0]?.version;
    return (
      <Panel>
        <Empty
          title="This is a single node"
          action={
            <a className="text-accent underline" href={DOCS} target="_blank" rel="noreferrer">
              Run several nodes
            </a>
          }
        >
          {version ? `Version ${version}. ` : null}It needs no other service. If its machine fails, Roomwatch is away
          until it is back.
        </Empty>
      </Panel>
    );
  }
  return (
    <>
      <Nodes nodes={nodes} away={engine.away} />
      <Log engine={engine} />
      <Epochs engine={engine} />
    </>
  );
}

const Row = ({ name, children }: { name: string; children: ReactNode }) => (
  <>
    <dt className="text-ink-3">{name}</dt>
    <dd className="min-w-0 break-words">{children}</dd>
  </>
);

/** Names and values, side by side. */
const Facts = ({ children }: { children: ReactNode }) => (
  <dl className="grid grid-cols-[9rem_minmax(0,1fr)] gap-x-4 gap-y-1.5 max-sm:grid-cols-[6rem_minmax(0,1fr)]">
    {children}
  </dl>
);

function Nodes({ nodes, away }: { nodes: ClusterNode[]; away: boolean }) {
  return (
    <Panel
      flush
      title="Nodes"
      label="Nodes"
      aside={<span className="num text-xs text-ink-3">{plural(nodes.length, 'node')}</span>}
    >
      {away ? (
        <p className="border-b border-line bg-warn-soft px-4 py-2 text-warn">
          This node cannot reach NATS, so it does not hear the others.
        </p>
      ) : null}
      <ul className="divide-y divide-line">
        {nodes.map((node) => (
          <Node key={node.name} node={node} deaf={away} />
        ))}
      </ul>
    </Panel>
  );
}

function Node({ node, deaf }: { node: ClusterNode; deaf: boolean }) {
  const state = nodeState(node, deaf);
  return (
    <li className="px-4 py-3">
      <h3 className="mb-2 flex flex-wrap items-center gap-2">
        <span className="font-medium break-all">{node.name}</span>
        <Badge tone={state.tone}>{state.word}</Badge>
        {node.own ? <Badge>answers you</Badge> : null}
      </h3>
      <Facts>
        <Row name="Version">
          {node.version}
          <span className="text-ink-3">
            , started <DayTime at={node.since} />
          </span>
        </Row>
        <Row name="Last heard">{node.own ? 'now' : <Ago at={node.heardAt} />}</Row>
        <Row name="Position">
          <span className="num break-all">{node.cursor}</span>
          {node.lagEvents > 0 ? (
            <span className={node.behindMs >= 5_000 ? 'text-warn' : 'text-ink-3'}>
              , {plural(node.lagEvents, 'event')} behind
              {node.behindMs >= 1_000 ? ` for ${duration(node.behindMs)}` : null}
            </span>
          ) : null}
        </Row>
        <Row name="Jobs">
          {node.leases.length === 0 ? <span className="text-ink-3">none</span> : node.leases.map(jobWords).join(', ')}
        </Row>
        {node.away ? (
          <Row name="Without NATS">
            {node.away.to === null ? (
              <span className="text-bad">
                for <Age since={node.away.from} />
              </span>
            ) : (
              <>
                last for {duration(node.away.to - node.away.from)}, until <DayTime at={node.away.to} />
              </>
            )}
          </Row>
        ) : null}
      </Facts>
    </li>
  );
}

function Log({ engine }: { engine: Engine }) {
  return (
    <Panel
      flush
      title="NATS"
      label="NATS"
      aside={
        engine.away ? (
          <Badge tone="bad">out of reach</Badge>
        ) : (
          <span className="text-xs text-ink-3">
            answered <Ago at={engine.answeredAt} />
          </span>
        )
      }
    >
      {engine.away ? (
        <p className="border-b border-line bg-bad-soft px-4 py-2 text-bad">
          NATS has not answered this node since <DayTime at={engine.answeredAt} />. Webhooks are refused, and this page
          shows the last answer. Check the NATS servers and the network of this node.
        </p>
      ) : null}
      {engine.streams.length === 0 ? (
        <Skeleton rows={4} />
      ) : (
        <ul className="divide-y divide-line">
          {engine.streams.map((stream) => (
            <StreamRow key={stream.name} stream={stream} old={engine.away} />
          ))}
        </ul>
      )}
      <div className="border-t border-line px-4 py-3">
        <Facts>
          <Row name="Newest event">
            <span className="num">{count(engine.newest)}</span>
          </Row>
          <Row name="Data for new nodes">
            {engine.bootstrap ? (
              <>
                stored <Ago at={engine.bootstrap.storedAt} />
              </>
            ) : (
              <Unknown why="Not stored yet" />
            )}
          </Row>
        </Facts>
      </div>
    </Panel>
  );
}

/** `old` is true if the answer is the last one before NATS was out of reach. */
function StreamRow({ stream, old }: { stream: Stream; old: boolean }) {
  const { name, servers, messages, bytes: used, maxBytes, error, missingMs } = stream;
  return (
    <li className="px-4 py-3">
      <h3 className="mb-1.5 flex flex-wrap items-baseline gap-x-2">
        <span className="font-medium">{streamWords(name)}</span>
        <span className="num text-xs break-all text-ink-3">{name}</span>
      </h3>
      {error ? (
        <p className="text-bad">{error}</p>
      ) : (
        <ul aria-label={`Servers of ${name}`} className="flex flex-wrap gap-2">
          {servers.map((server) => (
            <li key={server.name}>
              <Badge tone={old ? 'plain' : server.current ? 'good' : 'bad'}>
                {server.name}
                {server.leader ? ' leads' : server.current ? ' has all' : ' is behind or offline'}
              </Badge>
            </li>
          ))}
        </ul>
      )}
      <p className="num mt-1.5 text-ink-2">
        {error
          ? null
          : `${plural(messages, 'message')}, ${bytes(used)}${maxBytes === null ? '' : ` of ${bytes(maxBytes)}`} `}
        {missingMs === null ? null : <span className="text-bad">not on three servers for {duration(missingMs)}</span>}
      </p>
    </li>
  );
}

function Epochs({ engine: { epochs } }: { engine: Engine }) {
  return (
    <Panel title="Epochs" label="Epochs">
      <p className="mb-3 text-ink-2">
        A new epoch begins when the log is another one than before. Every reader then starts again.
      </p>
      <ul className="space-y-1.5">
        {epochs.map(({ epoch, at, why }, n) => (
          <li key={epoch} className="flex flex-wrap items-baseline gap-x-3">
            <span className="num w-28 shrink-0 text-xs text-ink-3">
              {at === 0 ? <Unknown why="Not recorded" /> : <DayTime at={at} />}
            </span>
            <span className="num">{epoch}</span>
            <span className="min-w-0 break-words text-ink-2">{why}</span>
            {n === 0 ? <Badge tone="accent">now</Badge> : null}
          </li>
        ))}
      </ul>
    </Panel>
  );
}
