import { cursorBefore, useRoomwatch } from '@roomwatch/react';
import { Download } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { serverUrl } from '@/base';
import { Button } from '@/ui/button';
import { CopyButton } from '@/ui/copy';
import { Dialog } from '@/ui/dialog';
import { messageOf } from '@/ui/errors';
import { Field, Select } from '@/ui/field';
import { count, plural } from '@/ui/format';
import { type EventSearch, keepOf, queryOf } from './event-search';
import { EXPORT_EVENTS_MAX, exportEvents } from './export-events';
import { cursorAt } from './seek';

const HOUR_MS = 3_600_000;
const spans = [
  { name: 'the last 15 minutes', millis: HOUR_MS / 4 },
  { name: 'the last hour', millis: HOUR_MS },
  { name: 'the last 24 hours', millis: 24 * HOUR_MS },
  { name: 'the last 7 days', millis: 168 * HOUR_MS },
  { name: 'All events', millis: 0 },
];

type Progress = { events: number; part: number } | { done: number; more: boolean } | { error: unknown } | null;

/** Dialog that writes the matching events to a file, one JSON object on each line. */
export function ExportEvents({ filter, onClose }: { filter: EventSearch; onClose: () => void }) {
  const { client } = useRoomwatch();
  const [span, setSpan] = useState(1);
  const [progress, setProgress] = useState<Progress>(null);
  const abort = useRef<AbortController>(null);
  useEffect(() => () => abort.current?.abort(), []);
  const running = progress !== null && 'part' in progress;

  const run = async () => {
    abort.current = new AbortController();
    const { signal } = abort.current;
    setProgress({ events: 0, part: 0 });
    try {
      const millis = spans[span]?.millis ?? 0;
      const first = millis === 0 ? null : await cursorAt(client, Date.now() - millis, signal);
      const after = first === null ? 'start' : cursorBefore(first);
      const { lines, events, next } = await exportEvents(client, queryOf(filter), after, {
        signal,
        keep: keepOf(filter),
        onProgress: (written, part) => setProgress({ events: written, part }),
      });
      save(lines);
      setProgress({ done: events, more: next !== null });
    } catch (error) {
      if (!signal.aborted) setProgress({ error });
    }
  };

  const parts = [filter.room, filter.type, filter.project].filter((part) => part !== undefined);
  return (
    <Dialog
      title="Export as JSON lines"
      description={
        parts.length > 0 ? (
          <>
            Filtered by: <span className="font-mono text-xs">{parts.join(' · ')}</span>
          </>
        ) : (
          'One event a line, oldest first, as the stream sends it.'
        )
      }
      onClose={onClose}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}
      >
        <Field
          label="Export"
          hint={`At most ${count(EXPORT_EVENTS_MAX)} events: the browser keeps the file in memory.`}
        >
          <Select
            className="w-full"
            value={span}
            disabled={running}
            onChange={(event) => setSpan(Number(event.target.value))}
          >
            {spans.map(({ name }, index) => (
              <option key={name} value={index}>
                {name}
              </option>
            ))}
          </Select>
        </Field>
        <div role="status" className="mt-3 min-h-5 text-ink-2">
          {progress === null ? null : 'error' in progress ? (
            <span className="text-bad">{messageOf(progress.error)}</span>
          ) : 'done' in progress ? (
            <>
              {plural(progress.done, 'event')} saved.{' '}
              {progress.more ? 'There are more. Use the command below for all of them.' : null}
            </>
          ) : (
            <span className="num">
              <progress
                value={progress.part}
                max={1}
                className="mr-2 w-24 align-middle accent-(--accent)"
                aria-label="Progress"
              />
              {plural(progress.events, 'event')}
            </span>
          )}
        </div>
        <details className="mt-3">
          <summary className="text-xs text-ink-2">From a terminal, without a limit</summary>
          <div className="mt-2 flex items-start gap-1 rounded-md bg-sunken p-2">
            <code className="min-w-0 grow font-mono text-xs break-all">{curl(filter)}</code>
            <CopyButton text={curl(filter)} label="Copy the command" />
          </div>
          <p className="mt-1.5 text-xs text-ink-3">
            It replays the log from the start, then follows it. <code>$ROOMWATCH_TOKEN</code> is a LiveKit access token
            with <code>roomList</code>.
          </p>
        </details>
        <div className="mt-5 flex justify-end gap-2">
          <Button onClick={onClose}>{progress !== null && 'done' in progress ? 'Close' : 'Cancel'}</Button>
          <Button type="submit" variant="solid" disabled={running}>
            <Download size={14} aria-hidden /> {running ? 'Reading…' : 'Save'}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** Returns the curl command. The values are percent-encoded and the address is quoted, so a shell changes nothing. */
function curl(filter: EventSearch): string {
  const { type, room, project } = queryOf(filter);
  const query = new URLSearchParams({ after: 'start' });
  if (room) query.append('room', room);
  for (const pattern of type ?? []) query.append('type', pattern);
  if (project) query.append('project', project);
  const address = `${serverUrl}/api/events?${query}`.replaceAll("'", '%27');
  return `curl -N -H "Authorization: Bearer $ROOMWATCH_TOKEN" '${address}' | sed -n 's/^data: //p'`;
}

function save(lines: Blob) {
  const address = URL.createObjectURL(lines);
  const link = document.createElement('a');
  link.href = address;
  link.download = `roomwatch-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}.jsonl`;
  link.click();
  // By the next task the download holds the data.
  setTimeout(() => URL.revokeObjectURL(address));
}
