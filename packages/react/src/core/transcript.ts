import type { Room } from 'livekit-client';

/** Topic of the text streams with which LiveKit's agents send what they hear and say. */
const TOPIC = 'lk.transcription';
/** Maximum characters kept of one segment: the sender decides how long it is. */
const CHARS_MAX = 4_000;

/** A piece of the transcription. It is replaced while its words are still guessed. */
export interface WatchedSegment {
  id: string;
  /** Unix milliseconds at which its first words arrived. */
  at: number;
  /** Identity and name of the speaker. */
  from: string;
  name: string;
  text: string;
  /** False while the words can still change. */
  final: boolean;
}

/** Calls `onSegment` with each segment that arrives in the room, and again whenever its text has changed. */
export function hearTranscription(room: Room, onSegment: (segment: WatchedSegment) => void): void {
  room.registerTextStreamHandler(TOPIC, async (reader, sender) => {
    const { id, attributes } = reader.info;
    const speaker =
      speakerOf(room, attributes?.['lk.transcribed_track_id']) ?? room.remoteParticipants.get(sender.identity);
    const from = speaker?.identity ?? sender.identity;
    const at = Date.now();
    let text = '';
    const tell = () => {
      const current = reader.info.attributes;
      onSegment({
        // A new stream with the same segment replaces the words of the one before.
        id: `${from}/${current?.['lk.segment_id'] ?? id}`,
        at,
        from,
        name: speaker?.name ?? '',
        text,
        final: current?.['lk.transcription_final'] === 'true',
      });
    };
    try {
      for await (const chunk of reader) {
        text = (text + chunk).slice(0, CHARS_MAX);
        tell();
      }
      // The end of a stream can say that its words are final.
      if (text !== '') tell();
    } catch {
      // The sender has left in the middle. Its words so far stay.
    }
  });
}

const speakerOf = (room: Room, trackSid: string | undefined) =>
  trackSid === undefined
    ? undefined
    : [...room.remoteParticipants.values()].find((one) => one.trackPublications.has(trackSid));
