import { useMe } from '@roomwatch/react';
import { EyeOff, LogIn } from 'lucide-react';
import { type FormEvent, useState } from 'react';
import { Button } from '@/ui/button';
import { Field, Input } from '@/ui/field';
import { Panel } from '@/ui/panel';
import { recall, remember } from '@/ui/storage';

/** Setting with the user who has read the consequences in this browser. */
const CONSENT = 'watch-consent';

/** Consequences of watching, before joining. The first time all of them, later one line. */
export function Consent({
  title,
  onJoin,
  onClose,
}: {
  title: string;
  onJoin: (reason: string) => void;
  onClose: () => void;
}) {
  const user = useMe().data?.user ?? null;
  const [full, setFull] = useState<boolean>();
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (user) remember(CONSENT, user);
    onJoin(String(new FormData(event.currentTarget).get('reason')).trim());
  };
  const buttons = (
    <div className="flex gap-2">
      <Button type="submit" variant="solid">
        <LogIn size={14} /> Start watching
      </Button>
      <Button onClick={onClose}>Cancel</Button>
    </div>
  );
  if (!(full ?? (user === null || recall(CONSENT) !== user))) {
    return (
      <Panel className="mb-4">
        <form onSubmit={submit} className="flex flex-wrap items-center gap-x-3 gap-y-2">
          <h2 className="flex items-center gap-2 font-semibold">
            <EyeOff size={16} aria-hidden /> {title}
          </h2>
          <p className="min-w-48 grow text-ink-2">
            You join hidden, and the audit log records it.{' '}
            <button type="button" className="text-accent underline" onClick={() => setFull(true)}>
              All consequences
            </button>
          </p>
          <Input
            name="reason"
            aria-label="Reason"
            placeholder="Reason, if required"
            autoComplete="off"
            maxLength={200}
            className="!w-52"
          />
          {buttons}
        </form>
      </Panel>
    );
  }
  return (
    <Panel className="mb-4">
      <form onSubmit={submit} className="grid gap-x-10 gap-y-4 md:grid-cols-[minmax(0,1fr)_18rem]">
        <div>
          <h2 className="flex items-center gap-2 text-[0.9375rem] font-semibold">
            <EyeOff size={16} aria-hidden /> {title}
          </h2>
          <ul className="mt-2 list-disc space-y-1 pl-5 text-ink-2">
            <li>Your browser joins through LiveKit, hidden from the participants. You cannot send anything.</li>
            <li>
              LiveKit sends webhooks for you joining and leaving. Roomwatch marks them and does not count you; other
              receivers see a hidden participant.
            </li>
            <li>
              A hidden participant keeps a room open. Watching ends when the last other participant leaves, and when
              this tab has been hidden for a minute.
            </li>
            <li>The audit log records who watched which room, and when.</li>
          </ul>
        </div>
        <div className="space-y-4">
          <Field label="Reason" hint="Some installations require one. Saved in the audit log.">
            <Input name="reason" autoComplete="off" maxLength={200} />
          </Field>
          {buttons}
        </div>
      </form>
    </Panel>
  );
}
