import type { Roomwatch } from '../RoomwatchProvider';

/** What every query about rooms takes. */
export interface ScopeOptions {
  /** Needed for a single room where several projects are watched; appended to the query key only when given. */
  project?: string;
  /** False asks nothing. */
  enabled?: boolean;
}

export interface RoomOptions extends ScopeOptions {
  /**
   * LiveKit sends no event when a track is muted or a participant's metadata changes: Roomwatch asks. A room that is
   * read every few seconds it asks about every two seconds, others once a minute. True reads it, for a page that is
   * about this room.
   */
  watch?: boolean;
}

/** A little less than the ten seconds for which a reading counts. */
const WATCH_MS = 8_000;

/** How often a query about one room is read while the stream is live. */
export function refreshOf(
  name: string,
  watch: boolean | undefined,
  { rooms, pollInterval }: Roomwatch,
): number | undefined {
  if (watch) return WATCH_MS;
  // The provider's stream says nothing of rooms that it was not opened for.
  return rooms && !rooms.includes(name) ? pollInterval : undefined;
}
