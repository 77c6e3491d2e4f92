import { type Room, useMe, useProjects } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import { EyeOff, Volume2, VolumeX } from 'lucide-react';
import { useEffect, useState } from 'react';
import { useRefusal } from '@/shell/rights';
import { Badge } from '@/ui/badge';
import { Button, buttonClass } from '@/ui/button';
import { plural } from '@/ui/format';
import { Panel } from '@/ui/panel';
import { Name } from '@/ui/person-name';
import { Empty } from '@/ui/states';
import { Age, Clock } from '@/ui/time';
import { Consent } from './consent';
import { Outside } from './outside';
import type { Quality } from './quality';
import { Transcript } from './transcript';
import { useWatching } from './use-watching';
import { Stage } from './watch-stage';

/** Watches the room from inside, hidden. The consequences are shown before joining. */
export default function Watch({
  room,
  onQuality,
  onClose,
}: {
  room: Room;
  /** Called with the connection quality by identity. LiveKit reports it only inside the room. */
  onQuality: (quality: ReadonlyMap<string, Quality>) => void;
  onClose: () => void;
}) {
  const [reason, setReason] = useState<string | null>(null);
  return reason === null ? (
    <Before room={room} onJoin={setReason} onClose={onClose} />
  ) : (
    <Inside room={room} reason={reason} onQuality={onQuality} onClose={onClose} onBack={() => setReason(null)} />
  );
}

function Before({ room, onJoin, onClose }: { room: Room; onJoin: (reason: string) => void; onClose: () => void }) {
  const project = useProjects().data?.find(({ name }) => name === room.project);
  const me = useMe().data;
  const refusal = useRefusal('watch', room.name);
  if (me && refusal !== null) {
    return (
      <Panel className="mb-4">
        <Empty title="You cannot watch this room" action={<Button onClick={onClose}>Close</Button>}>
          {refusal}
        </Empty>
      </Panel>
    );
  }
  if (me?.demo) {
    return (
      <Panel className="mb-4">
        <Empty title="Nothing to watch in the demo" action={<Button onClick={onClose}>Close</Button>}>
          These meetings are simulated: events without a LiveKit server, video or sound.
        </Empty>
      </Panel>
    );
  }
  if (project && (project.url === null || project.state === 'unconfigured')) {
    return (
      <Panel className="mb-4">
        <Empty
          title="Watching is not set up"
          action={
            <>
              <Link to="/settings" className={buttonClass('solid')}>
                Open settings
              </Link>
              <Button onClick={onClose}>Close</Button>
            </>
          }
        >
          The project {room.project} has no LiveKit address or no secret. Set <code>LIVEKIT_URL</code>,{' '}
          <code>LIVEKIT_API_KEY</code> and <code>LIVEKIT_API_SECRET</code>, or the project's url and keys in the
          configuration file.
        </Empty>
      </Panel>
    );
  }
  return <Consent title={`Watch ${room.name} invisibly`} onJoin={onJoin} onClose={onClose} />;
}

function Inside({
  room,
  reason,
  onQuality,
  onClose,
  onBack,
}: {
  room: Room;
  reason: string;
  onQuality: (quality: ReadonlyMap<string, Quality>) => void;
  onClose: () => void;
  onBack: () => void;
}) {
  const watching = useWatching(room, reason);
  const { status, since, identity, participants, speakers, messages, transcript } = watching.connection;
  const [sound, setSound] = useState(false);

  useEffect(
    () => onQuality(new Map(participants.map((one) => [one.identity, one.quality]))),
    [participants, onQuality],
  );
  useEffect(() => () => onQuality(new Map()), [onQuality]);

  if (watching.ended !== null || status === 'failed' || status === 'disconnected') {
    return (
      <Panel className="mb-4">
        <Outside watching={watching} onBack={onBack} onClose={onClose} />
      </Panel>
    );
  }
  return (
    <Panel
      className="mb-4"
      flush
      title={
        <span className="flex flex-wrap items-center gap-x-3 gap-y-1">
          <Badge tone="accent">
            <EyeOff size={12} aria-hidden /> Hidden
          </Badge>
          <span role="status" className="font-normal text-ink-2">
            {status === 'connected' ? null : status === 'reconnecting' ? 'Connection lost, joining again…' : 'Joining…'}
          </span>
          {since !== null && status === 'connected' ? (
            <span className="font-normal text-ink-2">
              since <Clock at={since} />, for <Age since={since} />
            </span>
          ) : null}
          {identity ? (
            <span className="truncate font-mono text-xs font-normal text-ink-3">
              <Name>{identity}</Name>
            </span>
          ) : null}
        </span>
      }
      aside={
        <>
          <Button aria-pressed={sound} onClick={() => setSound(!sound)} disabled={status !== 'connected'}>
            {sound ? <Volume2 size={14} /> : <VolumeX size={14} />} Sound {sound ? 'on' : 'off'}
          </Button>
          <Button onClick={onClose}>Leave</Button>
        </>
      }
    >
      <div className="grid lg:grid-cols-[minmax(0,1fr)_18rem]">
        <Stage
          room={room}
          participants={participants}
          speakers={speakers}
          sound={sound}
          joining={status === 'connecting' || status === 'idle'}
        />
        <div className="border-line max-lg:border-t lg:border-l">
          {transcript.length > 0 ? (
            <section aria-label="Live transcription" className="border-b border-line">
              <h3 className="px-4 pt-3 pb-1 text-xs text-ink-3">Live transcription</h3>
              <Transcript segments={transcript} />
            </section>
          ) : null}
          <section aria-label="Data messages">
            <h3 className="px-4 pt-3 pb-1 text-xs text-ink-3">Data messages</h3>
            {messages.length === 0 ? (
              <p className="px-4 pb-3 text-ink-2">None since you joined</p>
            ) : (
              <ol
                // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must scroll by keys too
                tabIndex={0}
                aria-label={plural(messages.length, 'data message')}
                className="max-h-96 overflow-y-auto pb-2"
              >
                {messages.toReversed().map((message) => (
                  <li key={message.id} className="px-4 py-1">
                    <p className="flex items-baseline gap-2 text-xs">
                      <span className="font-mono text-ink-3">
                        <Clock at={message.at} />
                      </span>
                      <span className="truncate font-medium">{message.from ?? 'server'}</span>
                      {message.topic ? <Badge>{message.topic}</Badge> : null}
                    </p>
                    <p className="line-clamp-4 font-mono text-xs break-all text-ink-2">
                      {message.text ?? `${plural(message.bytes.length, 'byte')}, binary`}
                    </p>
                  </li>
                ))}
              </ol>
            )}
          </section>
        </div>
      </div>
    </Panel>
  );
}
