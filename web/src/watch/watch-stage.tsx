import type { WatchedParticipant, WatchedTrack } from '@roomwatch/react/livekit';
import { useEffect, useRef, useState } from 'react';
import { cx } from '@/ui/cx';
import { plural } from '@/ui/format';
import { Skeleton } from '@/ui/states';
import { PictureBox, type WatchedRoom } from './picture';

/** A participant's camera, or letter, or one of their screens. */
interface Picture {
  id: string;
  owner: WatchedParticipant;
  track: WatchedTrack | undefined;
  screen: boolean;
}

/** Maximum tiles. More neither fit nor decode; LiveKit pauses videos that are not shown. */
const TILES_MAX = 24;
/** The same for one of several rooms. */
const TILES_MAX_COMPACT = 6;

const trackOf = (participant: WatchedParticipant, source: string) =>
  participant.tracks.find((track) => track.source === source && track.kind === 'video');

/**
 * Returns the participants that get a tile: speakers and cameras first. The order of the room stays, so that tiles do
 * not move.
 */
export function chooseTiles(
  participants: WatchedParticipant[],
  speakers: string[],
  max = TILES_MAX,
): WatchedParticipant[] {
  if (participants.length <= max) return participants;
  const worth = (one: WatchedParticipant) =>
    (speakers.includes(one.identity) ? 2 : 0) + (trackOf(one, 'camera') ? 1 : 0);
  const chosen = new Set(
    participants
      .map((one, at) => ({ one, at }))
      .sort((a, b) => worth(b.one) - worth(a.one) || a.at - b.at)
      .slice(0, max)
      .map(({ one }) => one),
  );
  return participants.filter((one) => chosen.has(one));
}

/** One large picture with the others below, or a grid. A screen share is large by itself. Sound only if switched on. */
export function Stage({
  room,
  participants,
  speakers,
  sound,
  joining,
  compact,
}: {
  room: WatchedRoom;
  participants: WatchedParticipant[];
  speakers: string[];
  sound: boolean;
  joining: boolean;
  /** True for one of several rooms: fewer and smaller tiles. */
  compact?: boolean;
}) {
  /** Picture that the operator has enlarged. Null: all are small. Undefined: the first screen share is large. */
  const [enlarged, setEnlarged] = useState<string | null>();
  if (joining) return <Skeleton rows={6} />;
  if (participants.length === 0) return <p className="p-4 text-ink-2">No other participants.</p>;
  const screens = participants.flatMap((owner): Picture[] => {
    const track = trackOf(owner, 'screen_share');
    return track ? [{ id: track.sid, owner, track, screen: true }] : [];
  });
  const chosen = chooseTiles(participants, speakers, compact ? TILES_MAX_COMPACT : TILES_MAX);
  const people = participants.map(
    (owner): Picture => ({ id: owner.sid, owner, track: trackOf(owner, 'camera'), screen: false }),
  );
  const pictures = [...screens, ...people];
  const large = pictures.find(({ id }) => id === enlarged) ?? (enlarged === null ? undefined : screens[0]);
  const small = pictures.filter((one) => one !== large && (one.screen || chosen.includes(one.owner)));
  const without = participants.length - chosen.length;
  return (
    <div className={compact ? 'space-y-2 p-2' : 'space-y-3 p-4'}>
      {large ? <PictureBox key={large.id} {...large} room={room} large onEnlarge={setEnlarged} /> : null}
      <ul
        className={cx(
          'grid',
          compact ? 'gap-2' : 'gap-3',
          large
            ? 'grid-cols-[repeat(auto-fill,minmax(9rem,1fr))]'
            : compact
              ? 'grid-cols-[repeat(auto-fit,minmax(9rem,1fr))]'
              : 'grid-cols-[repeat(auto-fill,minmax(13rem,1fr))]',
        )}
      >
        {small.map((picture) => (
          <li key={picture.id}>
            <PictureBox {...picture} room={room} onEnlarge={setEnlarged} />
          </li>
        ))}
      </ul>
      {without > 0 ? (
        <p className="text-xs text-ink-3">and {plural(without, 'more participant')} without a tile</p>
      ) : null}
      {sound
        ? participants.flatMap((participant) =>
            participant.tracks
              .filter((track) => track.kind === 'audio' && track.subscribed)
              .map((track) => <Audio key={track.sid} track={track} />),
          )
        : null}
    </div>
  );
}

function Audio({ track }: { track: WatchedTrack }) {
  const element = useRef<HTMLAudioElement>(null);
  const { attach } = track;
  useEffect(() => (element.current ? attach(element.current) : undefined), [attach]);
  // biome-ignore lint/a11y/useMediaCaption: live sound has no captions
  return <audio ref={element} autoPlay className="hidden" />;
}
