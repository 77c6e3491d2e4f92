import { Input } from './field';
import { fromWallText, wallText } from './zone';

/** Input for a time in the chosen zone. The value is in unix milliseconds. */
export function TimeInput({
  label,
  value,
  onChange,
}: {
  label: string;
  value: number | undefined;
  onChange: (at: number | undefined) => void;
}) {
  const local = value === undefined ? '' : wallText(value).slice(0, 16);
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
          const at = fromWallText(event.target.value);
          onChange(Number.isNaN(at) ? undefined : at);
        }}
        onKeyDown={(event) => {
          if (event.key === 'Enter') event.currentTarget.blur();
        }}
      />
    </span>
  );
}
