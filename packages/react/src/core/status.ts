import { distance } from './cursor';
import { BREAK_MS, type LineState } from './line';
import type { Cursor } from './wire';

/**
 * `connecting`: at first, and during the first seconds of a break. `live`: events arrive as they happen.
 * `catching_up`: connected again, `behind` events to go. `polling`: the stream is down, but requests are answered.
 * `stale`: nothing is answered; the data is from `staleSince`. `signed_out`: the server wants a sign-in.
 * `too_many`: this user has reached the limit of `streams.max` streams.
 */
export type ConnectionStatus = 'connecting' | 'live' | 'catching_up' | 'polling' | 'stale' | 'signed_out' | 'too_many';

export interface ConnectionState {
  status: ConnectionStatus;
  /** Cursor of the last event that was received, or read by the server and filtered out. */
  cursor: Cursor | null;
  /** Events still to come while catching up, else 0. An upper bound if a filter is set. */
  behind: number;
  /** Unix milliseconds of the last answer of the server, null while live. */
  staleSince: number | null;
  /**
   * Unix milliseconds at which the server last had every event, if it is one of several nodes and out of touch with the
   * others. Else null.
   */
  freshAt: number | null;
  /** For `too_many`: the open streams of this user, and the limit. */
  streams: { open: number; max: number } | null;
}

export const connecting: ConnectionState = {
  status: 'connecting',
  cursor: null,
  behind: 0,
  staleSince: null,
  freshAt: null,
  streams: null,
};

/** What a connection knows about its line. */
export interface Evidence {
  line: LineState;
  cursor: Cursor | null;
  /** True if the last request was answered. */
  reachable: boolean;
  /** Unix milliseconds of the last answer or frame. */
  heardAt: number;
  /** As the last heartbeat told it. */
  freshAt: number | null;
}

/** Returns the state that the evidence proves, or `before` if nothing changed. */
export function judge(
  { line, cursor, reachable, heardAt, freshAt }: Evidence,
  before: ConnectionState,
): ConnectionState {
  const { phase, head, streams } = line;
  const behind = head && cursor ? distance(head, cursor) : 0;
  const staleSince = phase === 'open' ? null : heardAt;
  const status = statusOf(line, behind, reachable);
  const next: ConnectionState = { status, cursor, behind, staleSince, freshAt, streams };
  const isSame = (Object.keys(next) as (keyof ConnectionState)[]).every((key) => next[key] === before[key]);
  return isSame ? before : next;
}

/** Returns true if the stream is down for longer than a short break. A clock that was set back counts as a long one. */
export function isBroken({ downSince }: LineState): boolean {
  if (downSince === null) return false;
  const millis = Date.now() - downSince;
  return millis < 0 || millis >= BREAK_MS;
}

function statusOf(line: LineState, behind: number, reachable: boolean): ConnectionStatus {
  const { phase } = line;
  if (phase === 'signed_out' || phase === 'too_many') return phase;
  if (phase === 'open') return behind > 0 ? 'catching_up' : 'live';
  if (!isBroken(line)) return 'connecting';
  return reachable ? 'polling' : 'stale';
}
