import { type IngressEntry, type Project, useIngress } from '@roomwatch/react';
import { useRefusal } from '@/shell/rights';
import { Badge, type Tone } from '@/ui/badge';
import { words } from '@/ui/format';
import { Panel } from '@/ui/panel';
import { ErrorState } from '@/ui/states';

const TONES: Record<string, Tone> = { publishing: 'good', buffering: 'accent', error: 'bad' };

/** Ingress of a project, for operators: media that comes into rooms. Nothing if there is none. */
export function IngressPanel({ project, showProject }: { project: Project; showProject: boolean }) {
  const may = useRefusal('moderate') === null;
  const query = useIngress({ project: project.name, enabled: may });
  const title = showProject ? `Ingress of ${project.name}` : 'Ingress';
  if (!may) return null;
  if (query.error && !query.data) {
    return (
      <Panel title={title} className="mt-4">
        <ErrorState error={query.error} compact onRetry={() => query.refetch()} />
      </Panel>
    );
  }
  if (!query.data || query.data.ingress.length === 0) return null;
  return (
    <Panel title={title} label={title} className="mt-4" flush>
      <ul className="divide-y divide-line">
        {query.data.ingress.map((one) => (
          <Row key={one.ingressId} one={one} />
        ))}
      </ul>
      {query.data.more ? <p className="border-t border-line px-4 py-2 text-xs text-ink-3">There are more.</p> : null}
    </Panel>
  );
}

function Row({ one }: { one: IngressEntry }) {
  return (
    <li className="flex flex-wrap items-baseline gap-x-2 gap-y-1 px-4 py-2.5">
      <span className="font-medium">{one.name || one.ingressId}</span>
      {one.room ? (
        <span className="min-w-0 break-words">
          <span className="text-ink-3">into </span>
          {one.room}
          {one.participantIdentity ? <span className="text-ink-3"> as {one.participantIdentity}</span> : null}
        </span>
      ) : null}
      <Badge tone={TONES[one.status] ?? 'plain'}>{words(one.status)}</Badge>
      <span className="text-xs text-ink-3">{one.kind === 'url' ? 'URL' : one.kind.toUpperCase()}</span>
      {one.error ? <span className="w-full break-words text-xs text-bad">{one.error}</span> : null}
    </li>
  );
}
