import { words } from '@/ui/format';

/** Actions of the audit record, as a user reads them. */
export const ACTIONS: Record<string, string> = {
  'room.create': 'created the room',
  'room.end': 'ended the room',
  'room.update': 'changed the metadata of the room',
  'room.watch': 'watched the room',
  'data.send': 'sent a data message',
  'participant.remove': 'removed',
  'participant.update': 'updated',
  'track.mute': 'muted a track of',
  'track.unmute': 'unmuted a track of',
  'dispatch.create': 'dispatched the agent',
  'dispatch.delete': 'deleted the agent dispatch',
  'egress.start': 'started the recording or stream',
  'egress.stop': 'stopped the recording or stream',
  'condition.acknowledge': 'acknowledged',
  'condition.unacknowledge': 'took back the acknowledgement of',
};

/** "removed", "room.new_thing" → "room new thing". */
export const actionWords = (action: string) => ACTIONS[action] ?? words(action.replaceAll('.', ' '));

/** Actions whose target is a name and an id. */
const WITH_ID = /^(track\.|dispatch\.create$|egress\.start$)/;

/** Target of an entry without the id after it: "ann/TR_1" → "ann", "support/AD_1" → "support". */
export function targetWords(action: string, target: string | null): string | null {
  if (target === null) return null;
  const end = WITH_ID.test(action) ? target.lastIndexOf('/') : -1;
  return end < 0 ? target : target.slice(0, end);
}

/** Returns true if the target of the action is a participant. */
export const isPerson = (action: string) => action.startsWith('participant.') || action.startsWith('track.');
