import { useCreateRoom, useMe } from '@roomwatch/react';
import { useNavigate } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';
import { Button } from '@/ui/button';
import { Dialog } from '@/ui/dialog';
import { messageOf } from '@/ui/errors';
import { Field, Input, Select, Textarea } from '@/ui/field';
import { toast } from '@/ui/toast';

/** Returns a positive whole number, or undefined for an empty field. */
const whole = (value: FormDataEntryValue | null) => (value === null || value === '' ? undefined : Number(value));

/** Dialog that creates a room and opens its page. */
export function CreateRoom({ onClose }: { onClose: () => void }) {
  const create = useCreateRoom();
  const navigate = useNavigate();
  const projects = useMe().data?.projects ?? [];
  const [error, setError] = useState<string | null>(null);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const name = String(form.get('name'));
    const project = (form.get('project') as string | null) ?? undefined;
    try {
      await create.mutateAsync({
        name,
        project,
        metadata: String(form.get('metadata')) || undefined,
        emptyTimeout: whole(form.get('emptyTimeout')),
        maxParticipants: whole(form.get('maxParticipants')),
      });
      toast.good(`Room ${name} created`);
      onClose();
      navigate({ to: '/rooms/$room', params: { room: name }, search: { project } });
    } catch (cause) {
      setError(messageOf(cause));
    }
  };

  return (
    <Dialog
      title="Create a room"
      description="LiveKit creates rooms automatically on join. Create one here to set limits or metadata first."
      onClose={onClose}
    >
      <form onSubmit={submit} className="space-y-4">
        <Field label="Name" error={error}>
          <Input name="name" required autoComplete="off" spellCheck={false} />
        </Field>
        {projects.length > 1 ? (
          <Field label="Project">
            <Select name="project" className="w-full">
              {projects.map((project) => (
                <option key={project}>{project}</option>
              ))}
            </Select>
          </Field>
        ) : null}
        <div className="grid grid-cols-2 gap-4">
          <Field label="Empty timeout (s)" hint="LiveKit's default is 300">
            <Input name="emptyTimeout" type="number" min={1} step={1} inputMode="numeric" />
          </Field>
          <Field label="Max participants" hint="Empty: no limit">
            <Input name="maxParticipants" type="number" min={1} step={1} inputMode="numeric" />
          </Field>
        </div>
        <Field label="Metadata" hint="Usually JSON">
          <Textarea name="metadata" spellCheck={false} />
        </Field>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="solid" disabled={create.isPending}>
            Create
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
