import type { WatchedParticipant, WatchedTrack } from '@roomwatch/react/livekit';
import { Link } from '@tanstack/react-router';
import { Expand, Maximize2, MicOff, Minimize2, MoreHorizontal, ScreenShare, Shrink, UserMinus } from 'lucide-react';
import { memo, useEffect, useRef } from 'react';
import { useModeration } from '@/room/moderate';
import { nameOf, trackName } from '@/room/people';
import { TrackIcon } from '@/room/track-icon';
import { useRefusal } from '@/shell/rights';
import { cx } from '@/ui/cx';
import { Menu, MenuItem, MenuLink, MenuSeparator } from '@/ui/menu';
import { QualityBars } from './quality';
import { useFullScreen } from './use-full-screen';

export interface WatchedRoom {
  name: string;
  project: string;
}

const control =
  'pointer-events-auto inline-flex size-7 items-center justify-center rounded-md bg-black/70 text-white hover:bg-black';

/** One picture with its actions. A click enlarges it, or makes it small again. */
export const PictureBox = memo(function PictureBox({
  id,
  owner,
  track,
  screen,
  room,
  large,
  onEnlarge,
}: {
  id: string;
  owner: WatchedParticipant;
  /** Camera or screen. A participant without a camera is a letter. */
  track: WatchedTrack | undefined;
  screen: boolean;
  room: WatchedRoom;
  large?: boolean;
  /** Called with the id of the picture to enlarge; null makes all of them small. */
  onEnlarge: (id: string | null) => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  const [full, toggleFull] = useFullScreen(box);
  const name = nameOf(owner);
  const what = screen ? `the screen of ${name}` : name;
  const microphone = owner.tracks.find((one) => one.source === 'microphone');
  const shown = track?.subscribed && !track.muted;
  return (
    <div
      ref={box}
      className={cx(
        'group relative overflow-hidden bg-[#1b1c20] text-white outline-2 outline-offset-1',
        full ? 'size-full' : 'aspect-video rounded-lg',
        large && !full && 'max-h-[70vh] w-full',
        owner.speaking && !screen ? 'outline-good-fill' : 'outline-transparent',
      )}
    >
      {track && shown ? (
        <Video
          track={track}
          className={cx('size-full', large || full || screen ? 'object-contain' : 'object-cover')}
          label={`${screen ? 'Screen' : 'Camera'} of ${name}`}
        />
      ) : (
        <span aria-hidden className="absolute inset-0 grid place-items-center text-2xl font-medium text-white/60">
          {[...name][0]?.toUpperCase()}
        </span>
      )}
      {full ? null : (
        <button
          type="button"
          aria-label={large ? `Make ${what} small` : `Enlarge ${what}`}
          className="absolute inset-0 outline-offset-[-2px]"
          onClick={() => onEnlarge(large ? null : id)}
        />
      )}
      <div className="pointer-events-none absolute top-1.5 right-1.5 flex gap-1 opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100">
        {full ? null : (
          <span aria-hidden className={cx(control, '!pointer-events-none')}>
            {large ? <Minimize2 size={14} /> : <Maximize2 size={14} />}
          </span>
        )}
        {toggleFull ? (
          <button
            type="button"
            className={control}
            aria-label={full ? 'Leave full screen' : `Full screen: ${what}`}
            onClick={toggleFull}
          >
            {full ? <Shrink size={14} /> : <Expand size={14} />}
          </button>
        ) : null}
        {/* The menu and its questions would open behind a full screen. */}
        {full ? null : <PictureMenu owner={owner} room={room} what={what} />}
      </div>
      <div className="pointer-events-none absolute inset-x-0 bottom-0 flex items-center gap-1.5 bg-linear-to-t from-black/80 to-transparent px-2 pt-4 pb-1.5 text-xs">
        {screen ? (
          <ScreenShare size={12} aria-hidden />
        ) : microphone && !microphone.muted ? (
          <Level value={owner.speaking ? owner.audioLevel : 0} />
        ) : (
          <span title={microphone ? 'Microphone muted' : 'No microphone'}>
            <MicOff size={12} aria-hidden />
            <span className="sr-only">{microphone ? 'microphone muted' : 'no microphone'}</span>
          </span>
        )}
        <span className="min-w-0 grow truncate">
          {name}
          {screen ? <span className="text-white/80"> · screen</span> : null}
        </span>
        {screen ? null : (
          <>
            {owner.speaking ? <span className="sr-only">speaking</span> : null}
            {owner.quality === 'unknown' ? null : <QualityBars quality={owner.quality} />}
          </>
        )}
      </div>
    </div>
  );
});

/** Actions on the participant of a picture, with the rights and the questions of the participant list. */
function PictureMenu({ owner, room, what }: { owner: WatchedParticipant; room: WatchedRoom; what: string }) {
  const { setMuted, removeParticipant } = useModeration();
  const reason = useRefusal('moderate', room.name);
  const { identity, name, sid, tracks } = owner;
  const target = { room: room.name, project: room.project, identity, name, sid };
  return (
    <Menu
      trigger={
        <button type="button" className={control} aria-label={`Moderate ${what}`}>
          <MoreHorizontal size={14} />
        </button>
      }
    >
      {tracks.map(({ sid, source, kind, muted }) => {
        const track = { sid, source, type: kind };
        return (
          <MenuItem
            key={sid}
            icon={<TrackIcon track={{ ...track, muted: !muted }} size={14} />}
            reason={reason}
            onSelect={() => setMuted(target, track, !muted)}
          >
            {muted ? 'Unmute' : 'Mute'} {trackName(track)}
          </MenuItem>
        );
      })}
      {tracks.length > 0 ? <MenuSeparator /> : null}
      <MenuLink>
        <Link to="/participants/$identity" params={{ identity }} search={{ project: room.project || undefined }}>
          Open participant
        </Link>
      </MenuLink>
      <MenuSeparator />
      <MenuItem icon={<UserMinus size={14} />} danger reason={reason} onSelect={() => removeParticipant(target)}>
        Remove
      </MenuItem>
    </Menu>
  );
}

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
