import type { Roomwatch } from '../RoomwatchProvider';

/** Options of every query about rooms. */
export interface ScopeOptions {
  /** Needed for one room if there are several projects. Part of the query key only if given. */
  project?: string;
  /** False fetches nothing. */
  enabled?: boolean;
}

export interface RoomOptions extends ScopeOptions {
  /**
   * LiveKit sends no event for a mute or for changed metadata: Roomwatch finds them by asking LiveKit, once a minute,
   * or every two seconds for a room that was read in the last ten seconds. True reads the room every eight seconds, for
   * a page about this room.
   */
  watch?: boolean;
}

/** A little less than the ten seconds for which one read counts. */
const WATCH_MS = 8_000;

/** Returns the milliseconds between two reads of one room while the stream is live, or undefined for none. */
export function refreshOf(
  name: string,
  watch: boolean | undefined,
  { rooms, pollInterval }: Roomwatch,
): number | undefined {
  if (watch) return WATCH_MS;
  // The provider's stream has no events of other rooms.
  return rooms && !rooms.includes(name) ? pollInterval : undefined;
}
