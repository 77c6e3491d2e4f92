import { type Room, useAgents, useCreateDispatch } from '@roomwatch/react';
import { type FormEvent, useId, useState } from 'react';
import { Button } from '@/ui/button';
import { Dialog } from '@/ui/dialog';
import { messageOf } from '@/ui/errors';
import { Field, Input, Textarea } from '@/ui/field';
import { toast } from '@/ui/toast';
import { textHint } from './edit-room';
import { useProjectFor } from './moderate';

/** Dialog that asks LiveKit for an agent in a room. */
export function DispatchAgent({ room, onClose }: { room: Room; onClose: () => void }) {
  const create = useCreateDispatch();
  const project = useProjectFor(room.project);
  const known = useAgents({ project: room.project });
  const names = known.data?.agents.flatMap(({ name }) => name ?? []) ?? [];
  const list = useId();
  const [metadata, setMetadata] = useState('');
  const [error, setError] = useState<string | null>(null);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const agentName = String(new FormData(event.currentTarget).get('agent')).trim();
    try {
      await create.mutateAsync({ room: room.name, project, agentName, metadata });
      // LiveKit also accepts a name that no worker has.
      toast.good(`LiveKit asks the workers of ${agentName}`);
      onClose();
    } catch (cause) {
      setError(messageOf(cause));
    }
  };

  return (
    <Dialog
      title={`Dispatch an agent to ${room.name}`}
      description="LiveKit asks a worker with this name to send an agent. It accepts names that no worker has: then no agent joins."
      onClose={onClose}
    >
      <form onSubmit={submit} className="space-y-4">
        <Field label="Agent name" hint="As the worker registers it" error={error}>
          <Input name="agent" required maxLength={256} list={list} autoComplete="off" spellCheck={false} />
        </Field>
        <datalist id={list}>
          {names.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <Field label="Metadata" hint={metadata === '' ? 'Optional. The agent reads it.' : textHint(metadata)}>
          <Textarea value={metadata} onChange={(event) => setMetadata(event.target.value)} spellCheck={false} />
        </Field>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="solid" disabled={create.isPending}>
            Dispatch
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
