import { Search } from 'lucide-react';
import { type ComponentProps, type ReactNode, useId } from 'react';
import { cx } from './cx';

const control =
  'h-8 rounded-md border border-control/60 bg-surface px-2.5 text-[0.8125rem] text-ink hover:border-control focus-visible:border-accent focus-visible:outline-offset-0';

export const Input = ({ className, ...props }: ComponentProps<'input'>) => (
  <input className={cx(control, 'w-full', className)} {...props} />
);

export const Textarea = ({ className, ...props }: ComponentProps<'textarea'>) => (
  <textarea
    className={cx(control, 'h-auto w-full min-h-24 py-1.5 font-mono text-xs leading-5', className)}
    {...props}
  />
);

/** The browser's own select: accessible, and good on phones. */
export const Select = ({ className, ...props }: ComponentProps<'select'>) => (
  <select className={cx(control, 'pr-7', className)} {...props} />
);

/** Labelled control with a hint or an error, which screen readers announce. */
export function Field({
  label,
  hint,
  error,
  children,
}: {
  label: string;
  hint?: ReactNode;
  error?: string | null;
  children: ReactNode;
}) {
  const id = useId();
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is the child
    <label className="block">
      <span className="mb-1 block text-xs font-medium text-ink-2">{label}</span>
      {children}
      {error ? (
        <span id={id} role="alert" className="mt-1 block text-xs text-bad">
          {error}
        </span>
      ) : hint ? (
        <span className="mt-1 block text-xs text-ink-3">{hint}</span>
      ) : null}
    </label>
  );
}

/** Search box. While it is empty, `hotkey` is shown at its end. */
export function SearchInput({
  label,
  hotkey,
  className,
  ...props
}: ComponentProps<'input'> & { label: string; hotkey?: string }) {
  return (
    <div className={cx('relative', className)}>
      <Search size={14} className="pointer-events-none absolute top-2.25 left-2.5 text-ink-3" aria-hidden />
      <input
        type="search"
        aria-label={label}
        autoComplete="off"
        spellCheck={false}
        className={cx(control, 'w-full pl-8')}
        {...props}
      />
      {hotkey && !props.value ? (
        <kbd
          aria-hidden
          className="pointer-events-none absolute top-1.75 right-2 rounded border border-line px-1 font-mono text-[0.6875rem] leading-4 text-ink-3 max-md:hidden"
        >
          {hotkey}
        </kbd>
      ) : null}
    </div>
  );
}
