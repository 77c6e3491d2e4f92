import { Tooltip as Radix } from 'radix-ui';
import { type ReactElement, type ReactNode, useState } from 'react';
import { portal } from './portal';

/** Tooltip of a control, on hover and on focus. `children` is one element that takes a ref. */
export function Tooltip({ text, children }: { text: ReactNode; children: ReactElement }) {
  const [container, setContainer] = useState<HTMLElement>();
  return (
    <Radix.Root onOpenChange={(open) => open && setContainer(portal())}>
      <Radix.Trigger asChild>{children}</Radix.Trigger>
      <Radix.Portal container={container}>
        <Radix.Content
          sideOffset={6}
          collisionPadding={8}
          className="pop-in z-50 max-w-72 rounded-md bg-solid px-2 py-1 text-xs text-on-solid"
        >
          {text}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

export const TooltipProvider = Radix.Provider;
