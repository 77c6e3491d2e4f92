import { type FocusEvent, useEffect, useRef, useState } from 'react';

/**
 * True while the pointer or the focus is inside: then nothing may move, because somebody is about to click or is reading.
 * Spread `bind` on the element.
 */
export function useHold() {
  const ref = useRef<HTMLDivElement>(null);
  const [pointer, setPointer] = useState(false);
  const [focus, setFocus] = useState(false);
  useEffect(() => {
    // An element that is taken out of the page while it has the focus loses it without a word, to the page itself. Anywhere
    // else it is still ours: a menu that was opened in here stands elsewhere in the page, and hangs on its row all the same.
    if (focus && (document.activeElement === null || document.activeElement === document.body)) setFocus(false);
  });
  return {
    held: pointer || focus,
    bind: {
      ref,
      // A finger leaves no pointer behind: only a mouse or a pen hovers.
      onPointerEnter: (event: { pointerType: string }) => setPointer(event.pointerType !== 'touch'),
      onPointerLeave: () => setPointer(false),
      onFocus: () => setFocus(true),
      onBlur: (event: FocusEvent) => setFocus(event.currentTarget.contains(event.relatedTarget)),
    },
  };
}
