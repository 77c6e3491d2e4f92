import type { Call } from '@roomwatch/react';
import { leaveReason } from '@/sessions/leave-reason';
import type { Tone } from '@/ui/badge';
import { words } from '@/ui/format';

/** Outcomes in the order of the filter: trouble first. */
export const OUTCOMES = [
  'no_answer',
  'declined',
  'trunk_error',
  'failed',
  'live',
  'hung_up',
  'ended',
  'unknown',
] as const;
export const TROUBLE: readonly string[] = ['no_answer', 'declined', 'trunk_error', 'failed'];

const NAMES: Record<string, string> = {
  no_answer: 'No answer',
  declined: 'Declined or busy',
  trunk_error: 'Trunk error',
  failed: 'Failed',
  live: 'Live',
  hung_up: 'Hung up',
  ended: 'Ended by the room',
  unknown: 'Unknown',
};
const TONES: Record<string, Tone> = {
  no_answer: 'warn',
  declined: 'warn',
  trunk_error: 'bad',
  failed: 'bad',
  live: 'good',
};

export const outcomeName = (outcome: string): string => NAMES[outcome] ?? words(outcome);
export const outcomeTone = (outcome: string): Tone => TONES[outcome] ?? 'plain';

/** Returns the badge of a call: for a live one that is not answered yet, LiveKit's status. */
export function outcomeWords({ outcome, status }: Call): string {
  return outcome === 'live' && status && status !== 'active' ? words(status) : outcomeName(outcome);
}

/** Returns what is known beyond the outcome: LiveKit's reason, and whether the call was answered. */
export function callDetail({ outcome, answered, disconnectReason }: Call): string {
  const said = outcome === 'failed' || outcome === 'ended' || outcome === 'unknown';
  return [
    answered === true ? 'answered' : answered === false ? 'not answered' : null,
    said && disconnectReason ? leaveReason(disconnectReason) : null,
  ]
    .filter((word) => word !== null)
    .join(' · ');
}
