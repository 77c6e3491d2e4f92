import { cx } from './cx';
import { count } from './format';

export interface Chip<T extends string> {
  value: T;
  name: string;
  /** Number of entries. A chip without entries is hidden, unless it is chosen or `always`. */
  count: number;
  bad?: boolean;
  always?: boolean;
}

/** Row of filters with their numbers, of which one can be chosen. A second click takes the choice back. */
export function FilterChips<T extends string>({
  label,
  chips,
  value,
  onChange,
}: {
  label: string;
  chips: Chip<T>[];
  value: string | undefined;
  onChange: (value: T | undefined) => void;
}) {
  const shown = chips.filter((chip) => chip.always || chip.count > 0 || chip.value === value);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset has a border and a legend of its own
    <div role="group" aria-label={label} className="mb-3 flex flex-wrap gap-1.5">
      {shown.map((chip) => {
        const on = chip.value === value;
        return (
          <button
            key={chip.value}
            type="button"
            aria-pressed={on}
            onClick={() => onChange(on ? undefined : chip.value)}
            className={cx(
              'inline-flex h-7 items-center gap-1.5 rounded-full border px-2.5 text-xs font-medium',
              on ? 'border-control bg-active text-ink' : 'border-line bg-surface text-ink-2 hover:bg-hover',
            )}
          >
            {chip.name}
            <span className={cx('num', chip.bad && chip.count > 0 ? 'text-bad' : 'text-ink-3')}>
              {count(chip.count)}
            </span>
          </button>
        );
      })}
    </div>
  );
}
