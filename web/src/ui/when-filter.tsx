import { useState } from 'react';
import { Select } from './field';
import { TimeInput } from './time-input';

const HOUR_MS = 3_600_000;
const spans = [
  { name: 'Last hour', millis: HOUR_MS },
  { name: 'Last 24 hours', millis: 24 * HOUR_MS },
  { name: 'Last 7 days', millis: 168 * HOUR_MS },
  { name: 'Last 30 days', millis: 720 * HOUR_MS },
];

export interface When {
  from: number | undefined;
  to: number | undefined;
}

/** Filter by time: a span that ends now, or two times. Give it a new `key` to close the two inputs. */
export function WhenFilter({ from, to, onChange }: When & { onChange: (when: Partial<When>) => void }) {
  const [between, setBetween] = useState(false);
  const dated = between || from !== undefined || to !== undefined;
  return (
    <>
      <Select
        aria-label="When"
        value={dated ? 'between' : ''}
        onChange={({ target: { value } }) => {
          setBetween(value !== '');
          const span = spans[Number(value || 'none')];
          if (span) onChange({ from: Date.now() - span.millis, to: undefined });
          else if (value === '') onChange({ from: undefined, to: undefined });
        }}
      >
        <option value="">Any time</option>
        {spans.map(({ name }, index) => (
          <option key={name} value={index}>
            {name}
          </option>
        ))}
        <option value="between">Between…</option>
      </Select>
      {dated ? (
        <span className="flex items-center gap-2 max-sm:w-full max-sm:flex-col max-sm:items-stretch">
          <TimeInput label="From" value={from} onChange={(at) => onChange({ from: at })} />
          <span aria-hidden className="text-ink-3 max-sm:hidden">
            to
          </span>
          <TimeInput label="To" value={to} onChange={(at) => onChange({ to: at })} />
        </span>
      ) : null}
    </>
  );
}
