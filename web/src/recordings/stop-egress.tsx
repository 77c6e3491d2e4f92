import { useStopEgress } from '@roomwatch/react';
import { Square } from 'lucide-react';
import { useProjectFor } from '@/room/moderate';
import { useRefusal } from '@/shell/rights';
import { buttonClass } from '@/ui/button';
import { useConfirm } from '@/ui/confirm';
import { toast } from '@/ui/toast';
import { egressNoun } from './egress-words';

/** Button that stops a running egress. Nothing for callers who may not, and for one that ends already. */
export function StopEgress({
  egress,
}: {
  egress: {
    project: string;
    egressId: string | null;
    room: string | null;
    status: string;
    outputs: { kind?: string }[];
  };
}) {
  const { project, egressId, room, status } = egress;
  const refusal = useRefusal('record');
  const wanted = useProjectFor(project);
  const confirm = useConfirm();
  const stop = useStopEgress();
  if (refusal !== null || !egressId || (status !== 'active' && status !== 'starting')) return null;
  const noun = egressNoun(egress);
  const name = room ? `the ${noun} of ${room}` : `this ${noun}`;

  const ask = async () => {
    const sure = await confirm({
      title: `Stop ${name}?`,
      body:
        noun === 'stream'
          ? 'Its viewers see the end of it at once. A stopped stream cannot be continued, only started again.'
          : 'LiveKit completes the file and stores it. A stopped recording cannot be continued: another one is another file.',
      action: `Stop ${noun}`,
      danger: true,
    });
    if (!sure) return;
    try {
      await stop.mutateAsync({ egressId, project: wanted });
      toast.good(`LiveKit stops ${name}`);
    } catch (error) {
      toast.bad(error, `${name.replace(/^t/, 'T')} was not stopped`);
    }
  };

  return (
    <button type="button" aria-label={`Stop ${name}`} className={buttonClass()} disabled={stop.isPending} onClick={ask}>
      <Square size={11} aria-hidden /> Stop
    </button>
  );
}
