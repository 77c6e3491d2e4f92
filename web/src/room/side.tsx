import { type Egress, type Room, useSession } from '@roomwatch/react';
import { partFile } from '@/page-file';
import { outputWords } from '@/recordings/egress-words';
import { Badge, type Tone } from '@/ui/badge';
import { bytes, duration, words } from '@/ui/format';
import { Panel } from '@/ui/panel';
import { ErrorState, Unknown } from '@/ui/states';
import { Age, Ago } from '@/ui/time';

const statusTones: Record<string, Tone> = {
  active: 'bad',
  starting: 'accent',
  ending: 'warn',
  complete: 'good',
  failed: 'bad',
  aborted: 'warn',
};

const StopEgress = partFile(async () => (await import('@/recordings/stop-egress')).StopEgress);

const TITLE = 'Recordings & streams';

/** Recordings and streams of this session, with the ended ones; or those of a moment of the past. */
export function Recordings({ room, then }: { room: Room; then: Egress[] | undefined }) {
  const session = useSession(room.sid, { project: room.project, enabled: !then });
  const egress = then ?? session.data?.egress ?? [];
  if (session.error && !session.data) {
    return (
      <Panel title={TITLE}>
        <ErrorState error={session.error} compact onRetry={() => session.refetch()} />
      </Panel>
    );
  }
  // Recording without an egress means a participant with the recorder permission.
  if (egress.length === 0) {
    return room.recording ? (
      <Panel title={TITLE}>
        <p className="text-ink-2">The room is being recorded. LiveKit did not report where.</p>
      </Panel>
    ) : null;
  }
  return (
    <Panel title={TITLE} flush>
      <ul className="divide-y divide-line">
        {egress.map((one) => (
          <Recording key={one.egressId} egress={one} past={!!then} />
        ))}
      </ul>
    </Panel>
  );
}

interface Output {
  kind?: string;
  name?: string;
  location?: string;
  error?: string | null;
  sizeBytes?: number;
  durationMs?: number;
}

function Recording({ egress, past }: { egress: Egress; past: boolean }) {
  return (
    <li className="px-4 py-3">
      <div className="flex items-center justify-between gap-3">
        <span className="truncate">
          <span className="font-medium">{outputWords(egress)}</span>{' '}
          <span className="text-xs text-ink-3">{words(egress.kind)}</span>
        </span>
        <span className="flex shrink-0 items-center gap-2">
          {past || egress.endedAt !== null ? null : <StopEgress egress={egress} />}
          <Badge tone={statusTones[egress.status] ?? 'plain'}>{words(egress.status)}</Badge>
        </span>
      </div>
      <p className="mt-0.5 text-xs text-ink-2">
        {egress.startedAt === null ? (
          <Unknown />
        ) : egress.endedAt === null ? (
          <>
            for <Age since={egress.startedAt} />
          </>
        ) : (
          <>
            <Age since={egress.startedAt} until={egress.endedAt} />, ended <Ago at={egress.endedAt} />
          </>
        )}
      </p>
      {egress.error ? <p className="mt-1 break-words text-xs text-bad">{egress.error}</p> : null}
      <ul className="mt-1 space-y-0.5">
        {(egress.outputs as Output[]).map((output) => (
          <li key={`${output.kind} ${output.name} ${output.location}`} className="text-xs">
            <span className="font-mono break-all text-ink-2">{output.location || output.name}</span>
            {output.durationMs ? <span className="num text-ink-3"> · {duration(output.durationMs)}</span> : null}
            {output.sizeBytes ? <span className="num text-ink-3"> · {bytes(output.sizeBytes)}</span> : null}
            {output.error ? <span className="text-bad"> · {output.error}</span> : null}
          </li>
        ))}
      </ul>
    </li>
  );
}
