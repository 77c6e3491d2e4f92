import { clockTime, words } from '@/ui/format';
import type { Stay } from './timeline';

/** Reasons that are nobody's wish, or somebody else's: they get a shape of their own. */
export const TROUBLE = new Set([
  'join_failure',
  'connection_timeout',
  'signal_close',
  'state_mismatch',
  'media_failure',
  'server_shutdown',
  'migration',
]);
export const FORCED = new Set(['participant_removed', 'room_deleted', 'duplicate_identity', 'user_rejected']);

/** "left, client initiated"; "left between 14:03:22 and 14:05:01, which no webhook told". */
export function leaveWords({ participation, to, uncertainFrom }: Stay): string {
  if (to === null) return 'still there';
  const reason = participation.disconnectReason ? `, ${words(participation.disconnectReason)}` : '';
  if (uncertainFrom !== null) return `left between ${clockTime(uncertainFrom)} and ${clockTime(to)}${reason}`;
  return participation.leftAt === null ? 'was there when the room ended' : `left${reason}`;
}
