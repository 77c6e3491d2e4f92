/** Codes the server is known to answer with; others pass through as they came. */
export type ErrorCode =
  | 'unauthorized'
  | 'forbidden'
  | 'room_not_live'
  | 'project_required'
  | 'too_many_connections'
  | 'livekit_unreachable'
  | 'expired'
  | 'unknown_epoch'
  | 'ahead'
  /** Ours: no answer came at all. */
  | 'network'
  /** Ours: an answer came that is not the server's, from a proxy for instance. */
  | 'unexpected_answer'
  | (string & {});

/** Everything the client rejects with. `code` is stable: branch on it, never on the message. */
export class RoomwatchError extends Error {
  override readonly name = 'RoomwatchError';

  constructor(
    readonly code: ErrorCode,
    /** HTTP status, 0 when no answer came. */
    readonly status: number,
    message: string,
    /** Address of a page that explains the code, when the server gave one. */
    readonly docs: string | null = null,
    /** Milliseconds to wait, from `Retry-After`. */
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
}
