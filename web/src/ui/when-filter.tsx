import { useState } from 'react';
import { Select } from './field';
import { TimeInput } from './time-input';
import { SPAN_NAMES, SPANS, timesOf, type When } from './when';

/** Filter by time: a span that ends now, or two times. Give it a new `key` to close the two inputs. */
export function WhenFilter({
  last,
  from,
  to,
  always,
  onChange,
}: When & {
  /** True for a page that always has a time. */
  always?: boolean;
  onChange: (when: When) => void;
}) {
  const [between, setBetween] = useState(false);
  const dated = last === undefined && (between || from !== undefined || to !== undefined);
  return (
    <>
      <Select
        aria-label="When"
        value={last ?? (dated ? 'between' : '')}
        onChange={({ target: { value } }) => {
          setBetween(value === 'between');
          const span = SPAN_NAMES.find((one) => one === value);
          if (value === 'between') onChange({ ...timesOf({ last, from, to }, Date.now()), last: undefined });
          else onChange({ last: span, from: undefined, to: undefined });
        }}
      >
        {always ? null : <option value="">Any time</option>}
        {SPAN_NAMES.map((span) => (
          <option key={span} value={span}>
            {SPANS[span].name}
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
