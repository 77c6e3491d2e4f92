import { type Participant, type Room, useSendData } from '@roomwatch/react';
import { type FormEvent, useState } from 'react';
import { Button } from '@/ui/button';
import { Dialog } from '@/ui/dialog';
import { messageOf } from '@/ui/errors';
import { Field, Input, Textarea } from '@/ui/field';
import { plural } from '@/ui/format';
import { toast } from '@/ui/toast';
import { useProjectFor } from './moderate';
import { nameOf } from './people';

/** Dialog for a data message to the room or to one participant. */
export function SendData({ room, to, onClose }: { room: Room; to?: Participant; onClose: () => void }) {
  const send = useSendData();
  const project = useProjectFor(room.project);
  const [error, setError] = useState<string | null>(null);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    try {
      await send.mutateAsync({
        room: room.name,
        project,
        text: String(form.get('text')),
        topic: String(form.get('topic')) || undefined,
        identities: to ? [to.identity] : undefined,
        reliable: form.get('reliable') === 'on',
      });
      // LiveKit sends no event for data, so delivery is not known.
      toast.good('Sent to LiveKit');
      onClose();
    } catch (cause) {
      setError(messageOf(cause));
    }
  };

  return (
    <Dialog
      title={`Send data message to ${to ? nameOf(to) : room.name}`}
      description={
        to
          ? 'Only they receive it, as a data message from the server.'
          : `${plural(room.participantCount, 'person', 'people')} and every agent in the room receive it, as a data message from the server.`
      }
      onClose={onClose}
    >
      <form onSubmit={submit} className="space-y-4">
        <Field label="Text" hint="Usually JSON. The app in the room decides what it means." error={error}>
          <Textarea name="text" required spellCheck={false} />
        </Field>
        <Field label="Topic" hint="Optional">
          <Input name="topic" autoComplete="off" spellCheck={false} />
        </Field>
        <label className="flex items-center gap-2">
          <input type="checkbox" name="reliable" defaultChecked /> Reliable: lost packets are sent again
        </label>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="solid" disabled={send.isPending}>
            Send
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
