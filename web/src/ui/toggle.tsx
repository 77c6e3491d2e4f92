import { cx } from './cx';

/** Button that switches a filter on or off. */
export const Toggle = ({
  on,
  onChange,
  children,
}: {
  on: boolean;
  onChange: (on: boolean) => void;
  children: string;
}) => (
  <button
    type="button"
    aria-pressed={on}
    onClick={() => onChange(!on)}
    className={cx(
      'inline-flex h-8 items-center rounded-md border px-2.5 font-medium',
      on
        ? 'border-accent bg-accent-soft text-accent'
        : 'border-line-strong bg-surface text-ink-2 hover:bg-hover hover:text-ink',
    )}
  >
    {children}
  </button>
);
