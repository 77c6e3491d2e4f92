import { DropdownMenu } from 'radix-ui';
import { type ReactElement, type ReactNode, useRef, useState } from 'react';
import { cx } from './cx';
import { returnFocusTo } from './dialog';
import { portal } from './portal';

/**
 * Menu below its trigger. Not modal: a modal menu writes a style tag, which the content security policy forbids.
 */
export function Menu({
  trigger,
  children,
  align = 'end',
}: {
  trigger: ReactElement;
  children: ReactNode;
  align?: 'start' | 'end';
}) {
  const button = useRef<HTMLButtonElement>(null);
  // Read on opening: a dialog that was open at the last render may be closed by now.
  const [container, setContainer] = useState<HTMLElement>();
  return (
    <DropdownMenu.Root modal={false} onOpenChange={(open) => open && setContainer(portal())}>
      <DropdownMenu.Trigger asChild ref={button}>
        {trigger}
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal container={container}>
        <DropdownMenu.Content
          align={align}
          sideOffset={4}
          collisionPadding={8}
          onCloseAutoFocus={() => returnFocusTo(button.current)}
          className="pop-in z-50 min-w-44 rounded-lg bg-raised p-1 shadow-pop"
        >
          {children}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

const item =
  'flex items-center gap-2 rounded-md px-2 py-1.5 text-[0.8125rem] outline-none select-none data-highlighted:bg-active data-disabled:cursor-not-allowed data-disabled:text-ink-3';

/** One entry. With `reason` it is disabled and shows the reason. */
export function MenuItem({
  icon,
  danger,
  reason,
  children,
  onSelect,
}: {
  icon?: ReactNode;
  danger?: boolean;
  reason?: string | null;
  children: ReactNode;
  onSelect: () => void;
}) {
  return (
    <DropdownMenu.Item disabled={!!reason} onSelect={onSelect} className={cx(item, danger && !reason && 'text-bad')}>
      {icon}
      <span>
        {children}
        {reason ? <span className="block max-w-56 text-xs">{reason}</span> : null}
      </span>
    </DropdownMenu.Item>
  );
}

/** Entry that is a link: `children` is one link. */
export const MenuLink = ({ children }: { children: ReactElement }) => (
  <DropdownMenu.Item asChild className={item}>
    {children}
  </DropdownMenu.Item>
);

/** Group of radio entries. */
export function MenuChoice<T extends string>({
  label,
  value,
  options,
  onChange,
}: {
  label: string;
  value: T;
  options: { value: T; label: string; icon?: ReactNode }[];
  onChange: (value: T) => void;
}) {
  return (
    <>
      <DropdownMenu.Label className="px-2 py-1 text-xs text-ink-3">{label}</DropdownMenu.Label>
      <DropdownMenu.RadioGroup value={value} onValueChange={(next) => onChange(next as T)}>
        {options.map((option) => (
          <DropdownMenu.RadioItem key={option.value} value={option.value} className={item}>
            {option.icon}
            <span className="grow">{option.label}</span>
            <DropdownMenu.ItemIndicator className="text-accent">✓</DropdownMenu.ItemIndicator>
          </DropdownMenu.RadioItem>
        ))}
      </DropdownMenu.RadioGroup>
    </>
  );
}

export const MenuSeparator = () => <DropdownMenu.Separator className="my-1 h-px bg-line" />;
