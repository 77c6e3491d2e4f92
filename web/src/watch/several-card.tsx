import { Link } from '@tanstack/react-router';
import { EyeOff, Volume2, VolumeX, X } from 'lucide-react';
import { useEffect, useMemo } from 'react';
import { Badge } from '@/ui/badge';
import { IconButton } from '@/ui/button';
import { cx } from '@/ui/cx';
import { plural } from '@/ui/format';
import { Outside } from './outside';
import type { ChosenRoom } from './several-rooms';
import { Transcript } from './transcript';
import { useWatching } from './use-watching';
import { Stage } from './watch-stage';

/** One of several watched rooms. If it ends, the others go on. */
export function SeveralCard({
  room,
  reason,
  sound,
  onSound,
  onBack,
  onClose,
}: {
  room: ChosenRoom;
  reason: string;
  sound: boolean;
  onSound: (on: boolean) => void;
  onBack: () => void;
  onClose: () => void;
}) {
  const watching = useWatching(room, reason, { lowVideo: true });
  const { status, participants, speakers, transcript } = watching.connection;
  const outside = watching.ended !== null || status === 'failed' || status === 'disconnected';
  const connected = status === 'connected' && !outside;
  const place = useMemo(() => ({ name: room.name, project: room.project ?? '' }), [room.name, room.project]);
  // The sound does not come back by itself.
  useEffect(() => {
    if (outside && sound) onSound(false);
  }, [outside, sound, onSound]);
  return (
    <li className="min-w-0">
      <section
        aria-label={room.name}
        className={cx('rounded-lg border bg-surface shadow-card', sound ? 'border-accent' : 'border-line')}
      >
        <header className="flex min-h-10 items-center gap-2 border-b border-line py-1 pr-1.5 pl-3">
          <h2 className="min-w-0 truncate font-medium">
            <Link
              to="/rooms/$room"
              params={{ room: room.name }}
              search={{ project: room.project }}
              className="hover:underline"
            >
              {room.name}
            </Link>
          </h2>
          <span className="grow" />
          <span role="status" className="text-xs text-ink-2">
            {outside
              ? null
              : connected
                ? plural(participants.length, 'participant')
                : status === 'reconnecting'
                  ? 'Joining again…'
                  : 'Joining…'}
          </span>
          {connected ? (
            <Badge tone="accent">
              <EyeOff size={12} aria-hidden /> Hidden
            </Badge>
          ) : null}
          {outside ? null : (
            <IconButton
              label={`Sound of ${room.name}`}
              aria-pressed={sound}
              disabled={!connected}
              onClick={() => onSound(!sound)}
            >
              {sound ? <Volume2 size={15} className="text-accent" /> : <VolumeX size={15} />}
            </IconButton>
          )}
          <IconButton label={`Stop watching ${room.name}`} onClick={onClose}>
            <X size={15} />
          </IconButton>
        </header>
        {outside ? (
          <Outside watching={watching} onBack={onBack} onClose={onClose} />
        ) : (
          <>
            <Stage
              room={place}
              participants={participants}
              speakers={speakers}
              sound={sound && connected}
              joining={!connected && status !== 'reconnecting'}
              compact
            />
            {transcript.length > 0 ? (
              <div className="border-t border-line pt-1">
                <Transcript segments={transcript} compact />
              </div>
            ) : null}
          </>
        )}
      </section>
    </li>
  );
}
