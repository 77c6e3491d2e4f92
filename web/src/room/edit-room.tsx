import { type Room, useUpdateRoom } from '@roomwatch/react';
import { type FormEvent, useState } from 'react';
import { Button } from '@/ui/button';
import { Dialog } from '@/ui/dialog';
import { messageOf } from '@/ui/errors';
import { Field, Textarea } from '@/ui/field';
import { toast } from '@/ui/toast';
import { useProjectFor } from './moderate';
import { pretty } from './people';

/** Returns a hint about the text. Metadata can be any text, so this is not an error. */
export function textHint(text: string): string {
  if (text.trim() === '') return 'Empty';
  try {
    JSON.parse(text);
    return 'Valid JSON';
  } catch {
    return 'Not JSON: stored as plain text';
  }
}

/** Dialog for the metadata of a room. */
export function EditRoom({ room, onClose }: { room: Room; onClose: () => void }) {
  const update = useUpdateRoom();
  const project = useProjectFor(room.project);
  const [metadata, setMetadata] = useState(() => pretty(room.metadata));
  const [error, setError] = useState<string | null>(null);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    try {
      await update.mutateAsync({ room: room.name, project, metadata });
      toast.good('Metadata changed');
      onClose();
    } catch (cause) {
      setError(messageOf(cause));
    }
  };

  return (
    <Dialog title={`Metadata of ${room.name}`} description="Participants see changes immediately." onClose={onClose}>
      <form onSubmit={submit} className="space-y-4">
        <Field label="Metadata" hint={textHint(metadata)} error={error}>
          <Textarea
            className="min-h-44"
            value={metadata}
            onChange={(event) => setMetadata(event.target.value)}
            spellCheck={false}
          />
        </Field>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="solid" disabled={update.isPending}>
            Save
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
