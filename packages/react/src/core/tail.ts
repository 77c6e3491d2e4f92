import { covers, newerThan } from './cursor';
import { isConnected } from './line';
import type { ConnectionEvent, Cursor, Message } from './wire';

/** Maximum requests for one answer. An answer that does not fit the stream is requested again at once. */
const ATTEMPTS_MAX = 3;
/** Maximum events kept while a request is pending. Beyond it the answer is requested again. */
const RECENT_MAX = 20_000;

/** Says that events cannot be applied, because one was missed: fetch again. */
export const UNKNOWN = Symbol('unknown');

/** An answer of the server that says where in the log it was made. */
export interface Snapshot {
  cursor: Cursor | null;
}

/**
 * Joins fetched answers to the stream (list, then watch) without a hole and without a duplicate. Pass every frame to
 * `hear`, from before the first request on. An answer can still miss events: it was made, an event happened, and only
 * then the stream started. Neither of the two contains that event, so the answer is fetched again.
 */
export class Tail {
  /** Cursor at which the stream started without resuming. Earlier events did not come through it. */
  private start: Cursor | null = null;
  private pending = 0;
  private recent: Message[] = [];

  /** Takes one frame of the stream. */
  hear(event: ConnectionEvent): void {
    if (!isConnected(event)) {
      if (this.pending > 0 && this.recent.length <= RECENT_MAX) this.recent.push(event);
    } else if (!event.resumed) this.start = event.cursor;
  }

  /** Returns true if events are missing between what is known up to `cursor` and the start of the stream. */
  hasHole(cursor: Cursor): boolean {
    return this.start !== null && !covers(cursor, this.start);
  }

  /**
   * Fetches an answer and merges the newer events of the stream into it. `merge` returns {@link UNKNOWN} if they do not
   * fit. After three attempts `merged` is UNKNOWN too: show the answer, and fetch it again later.
   */
  async fetch<T extends Snapshot, R>(
    request: () => Promise<T>,
    merge: (answer: T, newer: readonly Message[]) => R | typeof UNKNOWN,
  ): Promise<{ answer: T; merged: R | typeof UNKNOWN }> {
    this.pending++;
    try {
      for (let attempt = 1; ; attempt++) {
        const answer = await request();
        const { cursor } = answer;
        const broken = this.recent.length > RECENT_MAX || (cursor !== null && this.hasHole(cursor));
        const merged = broken ? UNKNOWN : merge(answer, newerThan(cursor, this.recent));
        if (merged !== UNKNOWN || attempt === ATTEMPTS_MAX) return { answer, merged };
        // The next answer is made after these events. Other requests that are pending still need them.
        if (this.pending === 1) this.recent = [];
      }
    } finally {
      if (--this.pending === 0) this.recent = [];
    }
  }
}
