import type { LiveKit } from './livekit.js';
import type { Roomwatch } from './roomwatch.js';

/** Sids, tracks and mutes, one fact a line, sorted. Both sides must agree on them. */
type Facts = string[];

/** Reads the facts from ListRooms and ListParticipants. Participants that are not ACTIVE have no webhook either. */
async function ofLiveKit(livekit: LiveKit): Promise<Facts> {
  const facts: Facts = [];
  for (const room of await livekit.listRooms()) {
    facts.push(`room ${room.name} ${room.sid}`);
    for (const participant of await livekit.listParticipants(room.name)) {
      if (participant.state !== 'ACTIVE') continue;
      facts.push(`participant ${room.name} ${participant.identity} ${participant.sid}`);
      for (const track of participant.tracks)
        facts.push(
          `track ${room.name} ${participant.identity} ${track.sid} ${track.source} ${track.muted ? 'muted' : 'open'}`,
        );
    }
  }
  return facts.sort();
}

/** Reads the facts from Roomwatch's lists. */
async function ofRoomwatch(roomwatch: Roomwatch): Promise<Facts> {
  const facts: Facts = [];
  for (const room of (await roomwatch.get('/api/rooms')).rooms) {
    facts.push(`room ${room.name} ${room.sid}`);
    const { participants } = await roomwatch.get(`/api/rooms/${encodeURIComponent(room.name)}/participants`);
    for (const participant of participants) {
      facts.push(`participant ${room.name} ${participant.identity} ${participant.sid}`);
      for (const track of participant.tracks)
        facts.push(
          `track ${room.name} ${participant.identity} ${track.sid} ${String(track.source).toUpperCase()} ${track.muted ? 'muted' : 'open'}`,
        );
    }
  }
  return facts.sort();
}

/** Returns the differences as a unified diff without context: `-` is only in LiveKit, `+` only in Roomwatch. */
export async function diff(livekit: LiveKit, roomwatch: Roomwatch): Promise<string[]> {
  const [theirs, ours] = await Promise.all([ofLiveKit(livekit), ofRoomwatch(roomwatch)]);
  return [
    ...theirs.filter((fact) => !ours.includes(fact)).map((fact) => `- ${fact}`),
    ...ours.filter((fact) => !theirs.includes(fact)).map((fact) => `+ ${fact}`),
  ];
}
