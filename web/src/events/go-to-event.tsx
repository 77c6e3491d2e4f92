import { type Cursor, cursorOf, parseCursor, type RoomwatchClient, useRoomwatch } from '@roomwatch/react';
import { type FormEvent, useState } from 'react';
import { Button } from '@/ui/button';
import { Dialog } from '@/ui/dialog';
import { messageOf } from '@/ui/errors';
import { Field, Input } from '@/ui/field';
import { fromWallText } from '@/ui/zone';
import { cursorAt } from './seek';

/** A number alone is a position in the present log. */
const SEQ = /^\d{1,19}$/;

/** Dialog that asks for a cursor or a time. */
export function GoToEvent({ onGo, onClose }: { onGo: (cursor: string) => void; onClose: () => void }) {
  const { client } = useRoomwatch();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const position = String(form.get('cursor')).trim();
    const time = fromWallText(String(form.get('time')));
    setError(null);
    if (position === '' && Number.isNaN(time)) return setError('Enter a cursor or a time.');
    if (position !== '' && !parseCursor(position) && !SEQ.test(position)) {
      return setError('Enter a cursor like 7f3a9c21-1042, or its number.');
    }
    setBusy(true);
    try {
      if (position !== '') {
        onGo(await toCursor(client, position));
      } else {
        const cursor = await cursorAt(client, time);
        if (cursor === null) setError('The log is empty.');
        else onGo(cursor);
      }
    } catch (cause) {
      setError(messageOf(cause));
    } finally {
      setBusy(false);
    }
  };

  return (
    <Dialog title="Jump to an event" onClose={onClose}>
      <form onSubmit={submit} className="space-y-4">
        <Field label="Cursor" hint="From a log line, an SSE id or the connection pill" error={error}>
          <Input
            name="cursor"
            autoFocus
            autoComplete="off"
            spellCheck={false}
            placeholder="7f3a9c21-1042"
            className="font-mono"
          />
        </Field>
        <Field label="Or a time" hint="The first event at that time or later">
          <Input name="time" type="datetime-local" step={1} />
        </Field>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="solid" disabled={busy}>
            {busy ? 'Looking…' : 'Go'}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

async function toCursor(client: RoomwatchClient, position: string): Promise<Cursor> {
  if (parseCursor(position)) return position;
  const { epoch } = await client.events({ limit: 1 });
  return cursorOf({ epoch, seq: Number(position) });
}
