import { useSyncExternalStore } from 'react';

/** The moment of the past that the page shows. */
export interface Place {
  /** Unix milliseconds. */
  moment: number;
  /** Its part of the address: the moment and the range around it. Links to rooms keep it. */
  search: { at: number | string; range?: string };
}

let place: Place | null = null;
const listeners = new Set<() => void>();

/** Moves the page to a moment, or with null to the present. */
export function setPlace(next: Place | null) {
  place = next;
  for (const listener of listeners) listener();
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
};

export const getPlace = () => place;

/** Returns the moment that the page shows, or null for the present. */
export const usePlace = () => useSyncExternalStore(subscribe, getPlace);
