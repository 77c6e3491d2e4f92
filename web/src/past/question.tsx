import { type FormEvent, useId, useState } from 'react';
import { Button } from '@/ui/button';
import { Input } from '@/ui/field';
import { zoneName } from '@/ui/zone';
import { readQuestion } from './moment-text';

/** The question "Who was in the room at 14:03?". On the page of a room the time is enough. */
export function Question({
  room,
  onAsk,
}: {
  room: string | undefined;
  /** The room is null if the question names none: the page stays. */
  onAsk: (room: string | null, at: number | string) => void;
}) {
  const [error, setError] = useState<string | null>(null);
  const id = useId();
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const now = Date.now();
    const asked = readQuestion(String(new FormData(event.currentTarget).get('question')), now);
    if (asked.at === null) {
      return setError('Write a time like 14:03, yesterday 14:03, 29 Nov 14:03:11, 5 min ago or a cursor.');
    }
    if (typeof asked.at === 'number' && asked.at > now) return setError('That moment has not come yet.');
    setError(null);
    onAsk(asked.room, asked.at);
  };
  return (
    <form onSubmit={submit} className="flex flex-wrap items-center gap-x-2 gap-y-1">
      <div className="w-80 max-sm:grow">
        <Input
          name="question"
          aria-label="Ask about a moment"
          aria-describedby={error ? id : undefined}
          aria-invalid={error ? true : undefined}
          autoComplete="off"
          spellCheck={false}
          placeholder={room === undefined ? 'Who was in standup at 14:03?' : `Who was in ${room} at 14:03?`}
        />
      </div>
      <Button type="submit">Show</Button>
      <span className="text-xs text-ink-3">Times are {zoneName(Date.now())}.</span>
      {error ? (
        <p id={id} role="alert" className="w-full text-xs text-bad">
          {error}
        </p>
      ) : null}
    </form>
  );
}
