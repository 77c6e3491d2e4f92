import type { Participant, Room, RoomData } from '@roomwatch/react';
import { type ComponentType, createContext, useContext } from 'react';

/** The past, for the pages that show it: what they read instead of the present state, and what they add. */
export interface Past {
  /** All rooms, on the pages about all of them. Undefined while loading. */
  rooms: Room[] | undefined;
  /** The room of its page; `room` is null if it was not live. */
  room: RoomData | undefined;
  people: Participant[] | undefined;
  /** Events up to the moment, instead of the newest. */
  Feed: ComponentType<{ limit: number; inRoom?: boolean; className?: string }>;
  /** The conditions that were open at the moment. */
  Attention: ComponentType;
  /** Knowledge about the room at the moment that came later. */
  Corrections: ComponentType<{ name: string; project: string | undefined }>;
}

export const PastContext = createContext<Past | null>(null);

/** Returns null on a page that shows the present. */
export const usePast = () => useContext(PastContext);
