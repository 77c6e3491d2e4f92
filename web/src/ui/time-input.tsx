import { Input } from './field';

/** Input for a time in the reader's time zone. The value is in unix milliseconds. */
export function TimeInput({
  label,
  value,
  onChange,
}: {
  label: string;
  value: number | undefined;
  onChange: (at: number | undefined) => void;
}) {
  const local =
    value === undefined
      ? ''
      : new Date(value - new Date(value).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  return (
    <span className="w-46 max-sm:w-full">
      <Input
        // Half-typed dates are dates too: only a finished one is taken.
        key={local}
        type="datetime-local"
        aria-label={label}
        defaultValue={local}
        onBlur={(event) => {
          if (event.target.value === local) return;
          const at = new Date(event.target.value).getTime();
          onChange(Number.isNaN(at) ? undefined : at);
        }}
        onKeyDown={(event) => {
          if (event.key === 'Enter') event.currentTarget.blur();
        }}
      />
    </span>
  );
}
