import { type Condition, useAcknowledge } from '@roomwatch/react';
import { type FormEvent, useState } from 'react';
import { Button } from '@/ui/button';
import { Dialog } from '@/ui/dialog';
import { messageOf } from '@/ui/errors';
import { Field, Input, Select } from '@/ui/field';
import { toast } from '@/ui/toast';

const HOUR_MS = 3_600_000;

/** Dialog that takes note of a condition, with a reason and an end. */
export function AcknowledgeDialog({
  condition,
  title,
  onClose,
}: {
  condition: Condition;
  title: string;
  onClose: () => void;
}) {
  const { id, project, room } = condition;
  const acknowledge = useAcknowledge();
  const [error, setError] = useState<string | null>(null);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const hours = Number(form.get('hours'));
    try {
      await acknowledge.mutateAsync({
        id,
        project,
        until: hours ? Date.now() + hours * HOUR_MS : undefined,
        reason: String(form.get('reason')) || undefined,
      });
      toast.good('Acknowledged');
      onClose();
    } catch (cause) {
      setError(messageOf(cause));
    }
  };

  return (
    <Dialog
      title={`Acknowledge: ${title}${room ? ` · ${room}` : ''}`}
      description="It no longer counts. The audit record keeps your name and the reason."
      onClose={onClose}
    >
      <form onSubmit={submit} className="space-y-4">
        <Field label="Reason" hint="Optional" error={error}>
          <Input name="reason" autoComplete="off" maxLength={512} />
        </Field>
        <Field label="Until">
          <Select name="hours" className="w-full">
            <option value="0">it ends</option>
            <option value="1">for 1 hour, also if it comes back</option>
            <option value="24">for 24 hours, also if it comes back</option>
            <option value="168">for 7 days, also if it comes back</option>
          </Select>
        </Field>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="solid" disabled={acknowledge.isPending}>
            Acknowledge
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
