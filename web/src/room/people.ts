import type { Participant, Track } from '@roomwatch/react';
import { words } from '@/ui/format';
import { visible } from '@/ui/person-name';

/** Returns the order of kinds: people, callers, machines, hidden participants. */
function rank({ kind, hidden, watcher }: Participant): number {
  if (watcher) return 6;
  if (hidden) return 5;
  return { standard: 0, sip: 1, agent: 2, ingress: 3, egress: 4 }[kind as 'standard'] ?? 3;
}

/** Orders by kind, then by join time. Participants without a join time come last. */
export function orderParticipants(participants: Participant[]): Participant[] {
  return [...participants].sort(
    (a, b) =>
      rank(a) - rank(b) ||
      (a.joinedAt ?? Number.POSITIVE_INFINITY) - (b.joinedAt ?? Number.POSITIVE_INFINITY) ||
      (a.sid < b.sid ? -1 : 1),
  );
}

/** Returns the name, else the identity, else the sid of a participant that is known from a track only. */
export const nameOf = ({ name, identity, sid }: Pick<Participant, 'name' | 'identity' | 'sid'>) =>
  visible(name || identity || sid);

/** "microphone", "screen share". Without a source, the type is used. */
export const trackName = ({ source, type }: Pick<Track, 'source' | 'type'>) =>
  source === 'unknown' || source === '' ? `${type} track` : words(source);

/** "720p" from the shorter edge, because phones send portrait video; null without a size. */
export function resolution({ width, height }: Pick<Track, 'width' | 'height'>): string | null {
  return width && height ? `${Math.min(width, height)}p` : null;
}

/** LiveKit's attributes of a phone call. */
export interface Call {
  number: string | null;
  trunkNumber: string | null;
  trunkId: string | null;
  ruleId: string | null;
  callId: string | null;
  status: string | null;
}

export function callOf({ attributes }: Pick<Participant, 'attributes'>): Call {
  const get = (name: string) => attributes[`sip.${name}`] || null;
  return {
    number: get('phoneNumber'),
    trunkNumber: get('trunkPhoneNumber'),
    trunkId: get('trunkID'),
    ruleId: get('ruleID'),
    callId: get('callID'),
    status: get('callStatus'),
  };
}

/** Returns JSON with indentation, and any other text unchanged. */
export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
