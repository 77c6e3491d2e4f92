import { type Participant, type Room, type UpdateParticipant, useUpdateParticipant } from '@roomwatch/react';
import { Plus, X } from 'lucide-react';
import { type FormEvent, useState } from 'react';
import { Button, IconButton } from '@/ui/button';
import { Dialog } from '@/ui/dialog';
import { messageOf } from '@/ui/errors';
import { Field, Input, Textarea } from '@/ui/field';
import { toast } from '@/ui/toast';
import { textHint } from './edit-room';
import { useProjectFor } from './moderate';
import { nameOf } from './people';

interface Draft {
  name: string;
  metadata: string;
  attributes: { id: number; key: string; value: string }[];
  permission: { canPublish: boolean; canSubscribe: boolean; canPublishData: boolean };
}

/**
 * Returns only the changed fields: LiveKit writes every field that is sent, even with the same value. It merges
 * attributes and removes one with an empty value.
 */
export function changesOf(before: Participant, draft: Draft): Omit<UpdateParticipant, 'room' | 'identity'> {
  const changes: Omit<UpdateParticipant, 'room' | 'identity'> = {};
  if (draft.name !== before.name) changes.name = draft.name;
  if (draft.metadata !== before.metadata) changes.metadata = draft.metadata;

  const attributes: Record<string, string> = {};
  const wanted = new Map(draft.attributes.filter(({ key }) => key !== '').map(({ key, value }) => [key, value]));
  for (const [key, value] of wanted) if (before.attributes[key] !== value) attributes[key] = value;
  for (const key of Object.keys(before.attributes)) if (!wanted.has(key)) attributes[key] = '';
  if (Object.keys(attributes).length > 0) changes.attributes = attributes;

  const now = before.permission;
  const { permission } = draft;
  const differs = (['canPublish', 'canSubscribe', 'canPublishData'] as const).some(
    (name) => permission[name] !== (now?.[name] ?? false),
  );
  // LiveKit replaces the whole permission, so the fields that are not shown are sent back unchanged.
  if (differs) changes.permission = { ...now, ...permission };
  return changes;
}

/** Dialog for name, metadata, attributes and permissions of a participant. */
export function EditParticipant({
  room,
  participant,
  onClose,
}: {
  room: Room;
  participant: Participant;
  onClose: () => void;
}) {
  const update = useUpdateParticipant();
  const project = useProjectFor(room.project);
  const [error, setError] = useState<string | null>(null);
  const [draft, setDraft] = useState<Draft>(() => ({
    name: participant.name,
    metadata: participant.metadata,
    attributes: Object.entries(participant.attributes).map(([key, value], id) => ({ id, key, value })),
    permission: {
      canPublish: participant.permission?.canPublish ?? false,
      canSubscribe: participant.permission?.canSubscribe ?? false,
      canPublishData: participant.permission?.canPublishData ?? false,
    },
  }));
  // The values at opening: saving does not undo a change that arrived meanwhile.
  const [before] = useState(participant);
  const changes = changesOf(before, draft);
  const changed = Object.keys(changes).length > 0;

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    try {
      await update.mutateAsync({ room: room.name, project, identity: participant.identity, ...changes });
      toast.good(`${nameOf(participant)} changed`);
      onClose();
    } catch (cause) {
      setError(messageOf(cause));
    }
  };

  const setAttribute = (id: number, next: Partial<{ key: string; value: string }>) =>
    setDraft({ ...draft, attributes: draft.attributes.map((one) => (one.id === id ? { ...one, ...next } : one)) });

  return (
    <Dialog title={`Edit ${nameOf(participant)}`} description="Participants see changes immediately." onClose={onClose}>
      <form onSubmit={submit} className="space-y-4">
        <Field label="Name">
          <Input
            value={draft.name}
            onChange={(event) => setDraft({ ...draft, name: event.target.value })}
            autoComplete="off"
          />
        </Field>
        <Field label="Metadata" hint={textHint(draft.metadata)}>
          <Textarea
            value={draft.metadata}
            onChange={(event) => setDraft({ ...draft, metadata: event.target.value })}
            spellCheck={false}
          />
        </Field>
        <fieldset>
          <legend className="mb-1 text-xs font-medium text-ink-2">Attributes</legend>
          <div className="space-y-1.5">
            {draft.attributes.map(({ id, key, value }) => (
              <div key={id} className="flex items-center gap-1.5">
                <Input
                  aria-label="Attribute"
                  className="font-mono text-xs"
                  value={key}
                  onChange={(event) => setAttribute(id, { key: event.target.value })}
                />
                <Input
                  aria-label={`Value of ${key || 'the attribute'}`}
                  className="font-mono text-xs"
                  value={value}
                  onChange={(event) => setAttribute(id, { value: event.target.value })}
                />
                <IconButton
                  label={`Remove ${key || 'attribute'}`}
                  onClick={() => setDraft({ ...draft, attributes: draft.attributes.filter((one) => one.id !== id) })}
                >
                  <X size={14} />
                </IconButton>
              </div>
            ))}
            <Button
              variant="ghost"
              className="-ml-2"
              onClick={() =>
                setDraft({
                  ...draft,
                  attributes: [
                    ...draft.attributes,
                    { id: Math.max(-1, ...draft.attributes.map(({ id }) => id)) + 1, key: '', value: '' },
                  ],
                })
              }
            >
              <Plus size={14} /> Add an attribute
            </Button>
          </div>
        </fieldset>
        <fieldset>
          <legend className="mb-1 text-xs font-medium text-ink-2">Permissions</legend>
          <div className="flex flex-wrap gap-x-5 gap-y-1">
            {(
              [
                ['canPublish', 'publish tracks'],
                ['canSubscribe', 'subscribe'],
                ['canPublishData', 'send data'],
              ] as const
            ).map(([name, label]) => (
              <label key={name} className="flex items-center gap-2">
                <input
                  type="checkbox"
                  checked={draft.permission[name]}
                  onChange={(event) =>
                    setDraft({ ...draft, permission: { ...draft.permission, [name]: event.target.checked } })
                  }
                />
                {label}
              </label>
            ))}
          </div>
        </fieldset>
        {error ? (
          <p role="alert" className="text-xs text-bad">
            {error}
          </p>
        ) : null}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="solid" disabled={!changed || update.isPending}>
            Save
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
