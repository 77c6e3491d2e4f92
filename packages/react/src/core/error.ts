/** Error codes of the server; docs/errors.md explains each. An unknown code is passed on unchanged. */
export type ErrorCode =
  | 'unauthorized'
  | 'session_ended'
  | 'wrong_credentials'
  | 'no_users'
  | 'forbidden'
  | 'foreign_origin'
  | 'foreign_host'
  | 'too_many_connections'
  | 'too_many_logins'
  | 'too_many_commands'
  | 'too_many_requests'
  | 'capacity'
  | 'behind'
  | 'busy'
  | 'body_too_large'
  | 'body_timeout'
  | 'bad_body'
  | 'body_incomplete'
  | 'not_json'
  | 'unknown_parameter'
  | 'duplicate_parameter'
  | 'bad_parameter'
  | 'bad_host'
  | 'bad_limit'
  | 'bad_time'
  | 'bad_place'
  | 'bad_cursor'
  | 'bad_path'
  | 'bad_name'
  | 'filter_too_large'
  | 'too_many_points'
  | 'bad_zone'
  | 'bad_dimension'
  | 'too_much'
  | 'empty_query'
  | 'unknown_event'
  | 'project_required'
  | 'unknown_project'
  | 'room_not_live'
  | 'unknown_condition'
  | 'unknown_session'
  | 'unknown_participant'
  | 'participant_not_found'
  | 'track_not_found'
  | 'dispatch_not_found'
  | 'unknown_preset'
  | 'egress_not_found'
  | 'egress_running'
  | 'egress_unconfirmed'
  | 'origin_not_allowed'
  | 'no_such_route'
  | 'no_such_file'
  | 'method_not_allowed'
  | 'expired'
  | 'unknown_epoch'
  | 'ahead'
  | 'cannot_be_empty'
  | 'nothing_to_change'
  | 'too_much_data'
  | 'reason_required'
  | 'room_empty'
  | 'livekit_refused'
  | 'livekit_denied'
  | 'livekit_limited'
  | 'livekit_unauthorized'
  | 'livekit_unreachable'
  | 'livekit_timeout'
  | 'livekit_failed'
  | 'internal'
  | 'no_token'
  | 'malformed'
  | 'algorithm'
  | 'unknown_key'
  | 'signature'
  | 'not_yet_valid'
  | 'too_long'
  | 'other_body'
  | 'other_use'
  | 'delivery_loop'
  | 'not_durable'
  /** Set by this client: no answer. */
  | 'network'
  /** Set by this client: the answer is not from the server, but from a proxy for instance. */
  | 'unexpected_answer'
  | (string & {});

/** Every rejection of the client. `code` is stable: branch on it, never on the message. */
export class RoomwatchError extends Error {
  override readonly name = 'RoomwatchError';

  constructor(
    readonly code: ErrorCode,
    /** HTTP status, 0 without an answer. */
    readonly status: number,
    message: string,
    /** Address of a page that explains the code, if the server sent one. */
    readonly docs: string | null = null,
    /** Milliseconds to wait, from `Retry-After`. */
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
}
