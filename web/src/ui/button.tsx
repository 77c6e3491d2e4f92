import type { ComponentProps } from 'react';
import { cx } from './cx';
import { Tooltip } from './tooltip';

type Variant = 'solid' | 'outline' | 'ghost' | 'danger';

const variants: Record<Variant, string> = {
  solid: 'bg-solid text-on-solid hover:opacity-90',
  outline: 'border border-line-strong bg-surface text-ink hover:bg-hover shadow-card',
  ghost: 'text-ink-2 hover:bg-hover hover:text-ink',
  danger: 'bg-[#c0262d] text-white hover:bg-[#a81f26]',
};

/** Classes of a button, for links that look like one. */
export const buttonClass = (variant: Variant = 'outline', className?: string) =>
  cx(
    'inline-flex h-8 shrink-0 items-center justify-center gap-1.5 rounded-md px-3 text-[0.8125rem] font-medium whitespace-nowrap transition-colors select-none',
    'disabled:opacity-50 aria-disabled:opacity-50',
    variants[variant],
    className,
  );

/**
 * Button. With `reason` it is disabled, but stays focusable and shows the reason on hover and focus: a grey control
 * alone explains nothing.
 */
export function Button({
  variant,
  className,
  reason,
  onClick,
  ...props
}: ComponentProps<'button'> & { variant?: Variant; reason?: string | null }) {
  const button = (
    <button
      type="button"
      className={buttonClass(variant, className)}
      aria-disabled={reason ? true : undefined}
      onClick={reason ? (event) => event.preventDefault() : onClick}
      {...props}
    />
  );
  return reason ? <Tooltip text={reason}>{button}</Tooltip> : button;
}

/** Square button with an icon. `label` is its accessible name and its tooltip. */
export function IconButton({
  label,
  variant = 'ghost',
  className,
  reason,
  onClick,
  ...props
}: ComponentProps<'button'> & { label: string; variant?: Variant; reason?: string | null }) {
  return (
    <Tooltip text={reason ? `${label}: ${reason}` : label}>
      <button
        type="button"
        aria-label={label}
        aria-disabled={reason ? true : undefined}
        className={buttonClass(variant, cx('w-8 px-0', className))}
        onClick={reason ? (event) => event.preventDefault() : onClick}
        {...props}
      />
    </Tooltip>
  );
}
