import type { Participant, Track } from '@roomwatch/react';
import { words } from '@/ui/format';

/** Who comes first in a room: people, then callers, then machines, then what nobody in the room can see. */
function rank({ kind, hidden, watcher }: Participant): number {
  if (watcher) return 6;
  if (hidden) return 5;
  return { standard: 0, sip: 1, agent: 2, ingress: 3, egress: 4 }[kind as 'standard'] ?? 3;
}

/** By kind, then by when they joined; somebody whose join nobody saw comes last. */
export function orderParticipants(participants: Participant[]): Participant[] {
  return [...participants].sort(
    (a, b) =>
      rank(a) - rank(b) ||
      (a.joinedAt ?? Number.POSITIVE_INFINITY) - (b.joinedAt ?? Number.POSITIVE_INFINITY) ||
      (a.sid < b.sid ? -1 : 1),
  );
}

/** What to call somebody: the name they gave, else their identity, else the sid of a participant we know by a track only. */
export const nameOf = ({ name, identity, sid }: Pick<Participant, 'name' | 'identity' | 'sid'>) =>
  name || identity || sid;

/** "microphone", "screen share"; a track without a source by its type. */
export const trackName = ({ source, type }: Pick<Track, 'source' | 'type'>) =>
  source === 'unknown' || source === '' ? `${type} track` : words(source);

/** "720p" from the shorter edge, since phones send portrait; null when LiveKit gave no size. */
export function resolution({ width, height }: Pick<Track, 'width' | 'height'>): string | null {
  return width && height ? `${Math.min(width, height)}p` : null;
}

/** LiveKit's attributes of a phone call, in words. */
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

/** JSON indented; anything else as it is. */
export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
