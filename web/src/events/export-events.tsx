import { cursorBefore, useRoomwatch } from '@roomwatch/react';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { ExportButton } from '@/export/export-button';
import { Field, Select } from '@/ui/field';
import { areAgents, type EventSearch, queryOf } from './event-search';
import { cursorAt } from './seek';

const HOUR_MS = 3_600_000;
const spans = [
  { name: 'The last 15 minutes', millis: HOUR_MS / 4 },
  { name: 'The last hour', millis: HOUR_MS },
  { name: 'The last 24 hours', millis: 24 * HOUR_MS },
  { name: 'The last 7 days', millis: 168 * HOUR_MS },
  { name: 'All events', millis: 0 },
];

/** Button that saves the matching events of a time. */
export function ExportEvents({ filter }: { filter: EventSearch }) {
  const { client } = useRoomwatch();
  const [span, setSpan] = useState<number>();
  const millis = span === undefined ? 0 : (spans[span]?.millis ?? 0);
  // The log has no index by time: the first event of the time is looked up before the file begins.
  const { data: after } = useQuery({
    queryKey: ['export from', millis],
    queryFn: async ({ signal }) => {
      const first = await cursorAt(client, Date.now() - millis, signal);
      return first === null ? 'start' : cursorBefore(first);
    },
    enabled: millis > 0,
    gcTime: 0,
  });
  const from = millis === 0 ? 'start' : after;
  return (
    <ExportButton
      name="events"
      path="/api/events"
      query={from === undefined ? null : { ...queryOf(filter), after: from }}
      note={
        areAgents(filter)
          ? 'Everything that matches the filters of the page, with the joins and leaves of all participants, not only of agents.'
          : undefined
      }
    >
      <Field label="Time">
        <Select
          className="w-full"
          value={span ?? spans.length - 1}
          onChange={({ target }) => setSpan(Number(target.value))}
        >
          {spans.map(({ name }, index) => (
            <option key={name} value={index}>
              {name}
            </option>
          ))}
        </Select>
      </Field>
    </ExportButton>
  );
}
