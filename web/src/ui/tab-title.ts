import { useSyncExternalStore } from 'react';

let marked = 0;
const listeners = new Set<() => void>();

/** Sets the number before the title of the browser tab. 0 shows none. */
export function markTab(number: number) {
  if (number === marked) return;
  marked = number;
  for (const listener of listeners) listener();
}

/** Returns the title of the browser tab for a page: "(3) Rooms · Roomwatch". */
export function useTabTitle(page: string): string {
  const number = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => marked,
  );
  return `${number ? `(${number}) ` : ''}${page} · Roomwatch`;
}
