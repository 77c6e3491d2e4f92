import { type FocusEvent, useState } from 'react';

/**
 * True while the pointer or the focus is inside: then nothing may move, because somebody is about to click or is reading.
 * Spread `bind` on the element.
 */
export function useHold() {
  const [pointer, setPointer] = useState(false);
  const [focus, setFocus] = useState(false);
  return {
    held: pointer || focus,
    bind: {
      // A finger leaves no pointer behind: only a mouse or a pen hovers.
      onPointerEnter: (event: { pointerType: string }) => setPointer(event.pointerType !== 'touch'),
      onPointerLeave: () => setPointer(false),
      onFocus: () => setFocus(true),
      onBlur: (event: FocusEvent) => setFocus(event.currentTarget.contains(event.relatedTarget)),
    },
  };
}
