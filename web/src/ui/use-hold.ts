import { type FocusEvent, useEffect, useRef, useState } from 'react';

/**
 * Returns true while the pointer or the focus is inside the element: then rows must not move, because the user reads or
 * is about to click. Spread `bind` on the element.
 */
export function useHold() {
  const ref = useRef<HTMLDivElement>(null);
  const [pointer, setPointer] = useState(false);
  const [focus, setFocus] = useState(false);
  useEffect(() => {
    // A removed element loses the focus to the body without an event. A focus anywhere else still counts as inside: a
    // menu of a row is elsewhere in the page.
    if (focus && (document.activeElement === null || document.activeElement === document.body)) setFocus(false);
  });
  return {
    held: pointer || focus,
    bind: {
      ref,
      // Only a mouse or a pen hovers, a finger does not.
      onPointerEnter: (event: { pointerType: string }) => setPointer(event.pointerType !== 'touch'),
      onPointerLeave: () => setPointer(false),
      onFocus: () => setFocus(true),
      onBlur: (event: FocusEvent) => setFocus(event.currentTarget.contains(event.relatedTarget)),
    },
  };
}
