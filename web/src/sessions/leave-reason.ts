import { words } from '@/ui/format';

/** LiveKit's disconnect reasons in words. */
const REASONS: Record<string, string> = {
  client_initiated: 'left',
  duplicate_identity: 'replaced by the same identity',
  participant_removed: 'removed',
  room_closed: 'room closed',
  room_deleted: 'room deleted',
  signal_close: 'connection lost (signal closed)',
  connection_timeout: 'connection timed out',
  state_mismatch: 'could not resume',
  migration: 'moved to another node',
  join_failure: 'join failed',
  media_failure: 'media connection failed',
  server_shutdown: 'server shut down',
  user_unavailable: 'no answer',
  user_rejected: 'declined or busy',
  sip_trunk_failure: 'SIP trunk error',
  agent_error: 'agent failed',
};

/** Returns a disconnect reason in words, in any case; an unknown reason as it is. */
export function leaveReason(reason: string): string {
  return REASONS[reason.toLowerCase()] ?? words(reason);
}
