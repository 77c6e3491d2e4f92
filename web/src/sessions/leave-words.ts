import type { Participation } from '@roomwatch/react';
import { clockTime } from '@/ui/format';
import { leaveReason } from './leave-reason';
import type { Stay } from './timeline';

/** Reasons for an unwanted leave. They have an icon on the timeline. */
export const TROUBLE = new Set([
  'join_failure',
  'connection_timeout',
  'signal_close',
  'state_mismatch',
  'media_failure',
  'server_shutdown',
  'migration',
  'user_unavailable',
  'sip_trunk_failure',
  'agent_error',
]);
export const FORCED = new Set(['participant_removed', 'room_deleted', 'duplicate_identity', 'user_rejected']);

/** Returns the reason of a leave in words, or null. */
export function reasonOf({ disconnectReason, removedBy }: Participation): string | null {
  if (!disconnectReason) return null;
  return removedBy ? `removed by ${removedBy}` : leaveReason(disconnectReason);
}

/** Returns "removed", or "left between 14:03:22 and 14:05:01: connection timed out" if the time is not known. */
export function leaveWords({ participation, to, uncertainFrom }: Stay): string {
  if (to === null) return 'still connected';
  const reason = reasonOf(participation) ?? 'left';
  if (uncertainFrom !== null) {
    const range = `left between ${clockTime(uncertainFrom)} and ${clockTime(to)}`;
    return reason === 'left' ? range : `${range}: ${reason}`;
  }
  return participation.leftAt === null ? 'present at the end' : reason;
}
