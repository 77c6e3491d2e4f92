import type { WatchedParticipant, WatchedTrack } from '@roomwatch/react/livekit';
import { MicOff, ScreenShare } from 'lucide-react';
import { memo, useEffect, useRef } from 'react';
import { nameOf } from '@/room/people';
import { cx } from '@/ui/cx';
import { plural } from '@/ui/format';
import { Skeleton } from '@/ui/states';
import { QualityBars } from './quality';

/** Maximum tiles. More neither fit nor decode; LiveKit pauses videos that are not shown. */
const TILES_MAX = 24;

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

/** Large screen shares with the cameras below, or a grid of cameras. Sound only if switched on. */
export function Stage({
  participants,
  speakers,
  sound,
  joining,
}: {
  participants: WatchedParticipant[];
  speakers: string[];
  sound: boolean;
  joining: boolean;
}) {
  if (joining) return <Skeleton rows={6} />;
  if (participants.length === 0) return <p className="p-4 text-ink-2">No other participants.</p>;
  const screens = participants.flatMap((owner) => {
    const track = trackOf(owner, 'screen_share');
    return track ? [{ owner, track }] : [];
  });
  const tiles = chooseTiles(participants, speakers);
  const without = participants.length - tiles.length;
  return (
    <div className="space-y-3 p-4">
      {screens.map(({ owner, track }) => (
        <figure key={track.sid} className="relative overflow-hidden rounded-lg bg-black">
          <Video track={track} className="max-h-[70vh] w-full object-contain" label={`Screen of ${nameOf(owner)}`} />
          <figcaption className="absolute bottom-2 left-2 flex items-center gap-1.5 rounded bg-black/70 px-2 py-0.5 text-xs text-white">
            <ScreenShare size={12} aria-hidden /> {nameOf(owner)}
          </figcaption>
        </figure>
      ))}
      <ul
        className={cx(
          'grid gap-3',
          screens.length > 0
            ? 'grid-cols-[repeat(auto-fill,minmax(9rem,1fr))]'
            : 'grid-cols-[repeat(auto-fill,minmax(13rem,1fr))]',
        )}
      >
        {tiles.map((participant) => (
          <Tile key={participant.sid} participant={participant} />
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

const Tile = memo(function Tile({ participant }: { participant: WatchedParticipant }) {
  const camera = trackOf(participant, 'camera');
  const microphone = participant.tracks.find((track) => track.source === 'microphone');
  const name = nameOf(participant);
  const shown = camera?.subscribed && !camera.muted;
  return (
    <li
      className={cx(
        'relative aspect-video overflow-hidden rounded-lg bg-[#1b1c20] text-white outline-2 outline-offset-1',
        participant.speaking ? 'outline-good-fill' : 'outline-transparent',
      )}
    >
      {camera && shown ? (
        <Video track={camera} className="size-full object-cover" label={`Camera of ${name}`} />
      ) : (
        <span aria-hidden className="absolute inset-0 grid place-items-center text-2xl font-medium text-white/60">
          {[...name][0]?.toUpperCase()}
        </span>
      )}
      <div className="absolute inset-x-0 bottom-0 flex items-center gap-1.5 bg-linear-to-t from-black/80 to-transparent px-2 pt-4 pb-1.5 text-xs">
        {microphone && !microphone.muted ? (
          <Level value={participant.speaking ? participant.audioLevel : 0} />
        ) : (
          <span title={microphone ? 'Microphone muted' : 'No microphone'}>
            <MicOff size={12} aria-hidden />
            <span className="sr-only">{microphone ? 'microphone muted' : 'no microphone'}</span>
          </span>
        )}
        <span className="min-w-0 grow truncate">{name}</span>
        {participant.speaking ? <span className="sr-only">speaking</span> : null}
        {participant.quality === 'unknown' ? null : <QualityBars quality={participant.quality} />}
      </div>
    </li>
  );
});

/** Audio level from LiveKit's last report. */
const Level = ({ value }: { value: number }) => (
  <span aria-hidden className="flex h-3 w-2.5 items-end overflow-hidden rounded-[2px] bg-white/25">
    <span
      className="w-full bg-[#2fb37a] transition-[height] duration-150"
      style={{ height: `${Math.round(Math.min(1, value) * 100)}%` }}
    />
  </span>
);

function Video({ track, className, label }: { track: WatchedTrack; className: string; label: string }) {
  const element = useRef<HTMLVideoElement>(null);
  const { attach } = track;
  useEffect(() => (element.current ? attach(element.current) : undefined), [attach]);
  // Sound has its own elements, so the video is silent and may start by itself. A live video has no captions.
  return <video ref={element} muted playsInline autoPlay aria-label={label} className={className} />;
}

function Audio({ track }: { track: WatchedTrack }) {
  const element = useRef<HTMLAudioElement>(null);
  const { attach } = track;
  useEffect(() => (element.current ? attach(element.current) : undefined), [attach]);
  // biome-ignore lint/a11y/useMediaCaption: live sound has no captions
  return <audio ref={element} autoPlay className="hidden" />;
}
