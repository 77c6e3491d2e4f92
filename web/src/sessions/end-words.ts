import type { Session } from '@roomwatch/react';
import { words } from '@/ui/format';

/** Reasons that the server derives, in words. LiveKit's own ones are shown as they are. */
const REASONS: Record<string, string> = {
  room_deleted: 'deleted through the API',
  everyone_left: 'everyone left',
  nobody_joined: 'nobody joined',
};

/** Returns the reason of the end of a session in words, or null if it is unknown. */
export function endWords({ endReason, endedBy }: Pick<Session, 'endReason' | 'endedBy'>): string | null {
  if (endedBy) return `ended by ${endedBy}`;
  return endReason ? (REASONS[endReason] ?? words(endReason)) : null;
}
