import { type RefObject, useLayoutEffect, useState } from 'react';

/** Returns true if the box is narrow, whatever the width of the window. */
export function useNarrowBox(box: RefObject<HTMLDivElement | null>): boolean | undefined {
  const [narrow, setNarrow] = useState<boolean>();
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => setNarrow((entry?.contentRect.width ?? 0) < 640));
    observer.observe(element);
    setNarrow(element.clientWidth < 640);
    return () => observer.disconnect();
  }, [box]);
  return narrow;
}
