import type { AuditEntry, Message } from '@roomwatch/react';

/** Maximum time between a command and the event of its effect, and between two clocks. */
const EFFECT_MS_MAX = 30_000;
const CLOCKS_MS_MAX = 5_000;

/** Command that has an event of this type as its effect. */
export const ACTIONS: Record<string, string> = {
  track_muted: 'track.mute',
  track_unmuted: 'track.unmute',
  participant_left: 'participant.remove',
  participant_updated: 'participant.update',
  room_updated: 'room.update',
  room_finished: 'room.end',
};

/** Returns the user whose command had this event as its effect, or null. The entries are the newest first. */
export function doerIn(
  entries: readonly Pick<AuditEntry, 'at' | 'user' | 'action' | 'project' | 'room' | 'target' | 'outcome'>[],
  { type, data, project, room, timestamp }: Pick<Message, 'type' | 'data' | 'project' | 'room' | 'timestamp'>,
): string | null {
  const action = ACTIONS[type];
  const { identity, disconnectReason } = data.participant ?? {};
  if (!action || (type === 'participant_left' && disconnectReason !== 'PARTICIPANT_REMOVED')) return null;
  const track = (data.track as { sid?: unknown } | undefined)?.sid;
  const target = type.startsWith('room_') ? null : type.startsWith('track_') ? `${identity}/${track}` : identity;
  const entry = entries.find(
    (one) =>
      one.action === action &&
      one.outcome === 'done' &&
      one.project === project &&
      one.room === room &&
      one.target === target &&
      one.at <= timestamp + CLOCKS_MS_MAX &&
      one.at >= timestamp - EFFECT_MS_MAX,
  );
  return entry?.user ?? null;
}
