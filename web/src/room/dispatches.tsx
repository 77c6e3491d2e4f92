import { type Dispatch, type Room, useDeleteDispatch, useDispatches } from '@roomwatch/react';
import { Trash2 } from 'lucide-react';
import { useRefusal } from '@/shell/rights';
import { Badge, type Tone } from '@/ui/badge';
import { IconButton } from '@/ui/button';
import { useConfirm } from '@/ui/confirm';
import { plural, words } from '@/ui/format';
import { Panel } from '@/ui/panel';
import { ErrorState } from '@/ui/states';
import { Ago } from '@/ui/time';
import { toast } from '@/ui/toast';
import { useProjectFor } from './moderate';

const TITLE = 'Agent dispatches';
const statusTones: Record<string, Tone> = { pending: 'accent', running: 'good', failed: 'bad' };

/** Agent dispatches of a room, for callers who may moderate it. Nothing if there is none, or LiveKit has no URL. */
export function Dispatches({ room }: { room: Room }) {
  const may = useRefusal('moderate', room.name) === null;
  const project = useProjectFor(room.project);
  const listed = useDispatches({ room: room.name, project, enabled: may });
  if (!may) return null;
  if (listed.error && !listed.data) {
    // The room may have ended a moment ago. A project without a URL has no dispatches that can be asked for.
    if (['room_not_live', 'livekit_unreachable'].includes(listed.error.code)) return null;
    return (
      <Panel title={TITLE}>
        <ErrorState error={listed.error} compact onRetry={() => listed.refetch()} />
      </Panel>
    );
  }
  // LiveKit gives every room a dispatch without a name. It means something if a worker has taken it.
  const dispatches = listed.data?.filter(({ agentName, jobs }) => agentName !== '' || jobs.length > 0) ?? [];
  if (dispatches.length === 0) return null;
  return (
    <Panel title={TITLE} label={TITLE} flush>
      <ul className="divide-y divide-line">
        {dispatches.map((one) => (
          <Row key={one.id} room={room} dispatch={one} project={project} />
        ))}
      </ul>
    </Panel>
  );
}

function Row({ room, dispatch, project }: { room: Room; dispatch: Dispatch; project: string | undefined }) {
  const confirm = useConfirm();
  const remove = useDeleteDispatch();
  const { id, agentName, jobs, createdAt, metadata } = dispatch;
  const name = agentName || 'Agent without a name';
  const agents = jobs.filter(({ status }) => status === 'running').length;

  const ask = async () => {
    const sure = await confirm({
      title: `Delete the dispatch of ${name}?`,
      body:
        agents > 0
          ? `LiveKit ends the work of ${plural(agents, 'agent')} in ${room.name}, and removes them from the room.`
          : 'No agent works for it now. LiveKit will not send one.',
      action: 'Delete dispatch',
      danger: true,
    });
    if (!sure) return;
    try {
      await remove.mutateAsync({ room: room.name, project, id });
      toast.good(`Deleted the dispatch of ${name}`);
    } catch (error) {
      toast.bad(error, `The dispatch of ${name} was not deleted`);
    }
  };

  return (
    <li className="px-4 py-3">
      <div className="flex items-center justify-between gap-3">
        <span className="min-w-0 truncate font-medium">{name}</span>
        <IconButton label={`Delete the dispatch of ${name}`} disabled={remove.isPending} onClick={ask}>
          <Trash2 size={14} />
        </IconButton>
      </div>
      <p className="mt-0.5 text-xs text-ink-2">
        created <Ago at={createdAt} />
        {jobs.length === 0 ? <> · no worker has taken it</> : null}
      </p>
      {metadata ? <p className="mt-1 truncate font-mono text-xs text-ink-3">{metadata}</p> : null}
      <ul className="mt-1 space-y-1">
        {jobs.map((job) => (
          <li key={job.id} className="flex min-w-0 flex-wrap items-center gap-2 text-xs">
            <Badge tone={statusTones[job.status] ?? 'plain'}>{words(job.status)}</Badge>
            <span className="min-w-0 truncate text-ink-2">{job.identity}</span>
            {job.error ? <span className="min-w-0 break-words text-bad">{job.error}</span> : null}
          </li>
        ))}
      </ul>
    </li>
  );
}
