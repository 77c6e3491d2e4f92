import { type Room, useMe, useProjects } from '@roomwatch/react';
import { type RoomConnection, useRoomConnection } from '@roomwatch/react/livekit';
import { Link } from '@tanstack/react-router';
import { EyeOff, LogIn, Volume2, VolumeX } from 'lucide-react';
import { type FormEvent, useEffect, useState } from 'react';
import { useProjectFor } from '@/room/moderate';
import { Badge } from '@/ui/badge';
import { Button, buttonClass } from '@/ui/button';
import { codeOf } from '@/ui/errors';
import { Field, Input } from '@/ui/field';
import { plural, words } from '@/ui/format';
import { Panel } from '@/ui/panel';
import { Empty, ErrorState } from '@/ui/states';
import { Age, Clock } from '@/ui/time';
import type { Quality } from './quality';
import { Stage } from './watch-stage';

/** The room from inside: nobody in it sees you, and what that costs is said before you join. */
export default function Watch({
  room,
  onQuality,
  onClose,
}: {
  room: Room;
  /** Told the connection quality of everybody, by identity: nobody outside the room knows it. */
  onQuality: (quality: ReadonlyMap<string, Quality>) => void;
  onClose: () => void;
}) {
  const [reason, setReason] = useState<string | null>(null);
  return reason === null ? (
    <Before room={room} onJoin={setReason} onClose={onClose} />
  ) : (
    <Inside room={room} reason={reason} onQuality={onQuality} onClose={onClose} onAgain={() => setReason(null)} />
  );
}

function Before({ room, onJoin, onClose }: { room: Room; onJoin: (reason: string) => void; onClose: () => void }) {
  const project = useProjects().data?.find(({ name }) => name === room.project);
  const demo = useMe().data?.demo;
  if (demo) {
    return (
      <Panel className="mb-4">
        <Empty title="Nobody to watch in the demo" action={<Button onClick={onClose}>Close</Button>}>
          These meetings are simulated: there are events, but no LiveKit server, no pictures and no sound.
        </Empty>
      </Panel>
    );
  }
  if (project && (project.url === null || project.state === 'unconfigured')) {
    return (
      <Panel className="mb-4">
        <Empty
          title="This room cannot be watched yet"
          action={
            <>
              <Link to="/settings" className={buttonClass('solid')}>
                Open the settings
              </Link>
              <Button onClick={onClose}>Close</Button>
            </>
          }
        >
          Roomwatch knows no LiveKit address or no secret for the project {room.project}. Set <code>LIVEKIT_URL</code>,{' '}
          <code>LIVEKIT_API_KEY</code> and <code>LIVEKIT_API_SECRET</code>, or the project's url and keys in the
          configuration file.
        </Empty>
      </Panel>
    );
  }
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    onJoin(String(new FormData(event.currentTarget).get('reason')).trim());
  };
  return (
    <Panel className="mb-4">
      <form onSubmit={submit} className="grid gap-x-10 gap-y-4 md:grid-cols-[minmax(0,1fr)_18rem]">
        <div>
          <h2 className="flex items-center gap-2 text-[0.9375rem] font-semibold">
            <EyeOff size={16} aria-hidden /> Watch {room.name} without being seen
          </h2>
          <ul className="mt-2 list-disc space-y-1 pl-5 text-ink-2">
            <li>Your browser joins through LiveKit. Nobody in the room sees you, and you can send nothing.</li>
            <li>
              LiveKit reports your coming and going like anybody's. Roomwatch marks it as its own and does not count
              you; other receivers of LiveKit's webhooks see a hidden participant.
            </li>
            <li>
              A hidden participant keeps a room open. When the last real one has left, Roomwatch takes you out, so that
              the room can end.
            </li>
            <li>Who watched what, and when, is in the audit record.</li>
          </ul>
        </div>
        <div className="space-y-4">
          <Field label="Reason" hint="For the audit record; some installations require one">
            <Input name="reason" autoComplete="off" maxLength={200} />
          </Field>
          <div className="flex gap-2">
            <Button type="submit" variant="solid">
              <LogIn size={14} /> Join hidden
            </Button>
            <Button onClick={onClose}>Cancel</Button>
          </div>
        </div>
      </form>
    </Panel>
  );
}

function Inside({
  room,
  reason,
  onQuality,
  onClose,
  onAgain,
}: {
  room: Room;
  reason: string;
  onQuality: (quality: ReadonlyMap<string, Quality>) => void;
  onClose: () => void;
  onAgain: () => void;
}) {
  const project = useProjectFor(room.project);
  const connection = useRoomConnection(room.name, { project, reason: reason || undefined });
  const { status, since, identity, participants, speakers, messages } = connection;
  const [sound, setSound] = useState(false);

  useEffect(
    () => onQuality(new Map(participants.map((one) => [one.identity, one.quality]))),
    [participants, onQuality],
  );
  useEffect(() => () => onQuality(new Map()), [onQuality]);

  if (status === 'failed' || status === 'disconnected') {
    return (
      <Panel className="mb-4">
        <Outside connection={connection} onAgain={onAgain} onClose={onClose} />
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
            <EyeOff size={12} aria-hidden /> You are invisible
          </Badge>
          <span role="status" className="font-normal text-ink-2">
            {status === 'connected' ? null : status === 'reconnecting' ? 'Connection lost, joining again…' : 'Joining…'}
          </span>
          {since !== null && status === 'connected' ? (
            <span className="font-normal text-ink-2">
              since <Clock at={since} />, for <Age since={since} />
            </span>
          ) : null}
          {identity ? <span className="truncate font-mono text-xs font-normal text-ink-3">{identity}</span> : null}
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
          participants={participants}
          speakers={speakers}
          sound={sound}
          joining={status === 'connecting' || status === 'idle'}
        />
        <section aria-label="Data messages" className="border-line max-lg:border-t lg:border-l">
          <h3 className="px-4 pt-3 pb-1 text-xs text-ink-3">Data messages</h3>
          {messages.length === 0 ? (
            <p className="px-4 pb-3 text-ink-2">None since you joined.</p>
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
                    {message.text ?? `${plural(message.bytes.length, 'byte')} that are no text`}
                  </p>
                </li>
              ))}
            </ol>
          )}
        </section>
      </div>
    </Panel>
  );
}

/** Why one is not, or no longer, in the room, and what to do about it. */
function Outside({
  connection,
  onAgain,
  onClose,
}: {
  connection: RoomConnection;
  onAgain: () => void;
  onClose: () => void;
}) {
  const { status, error, disconnectReason, reconnect } = connection;
  if (status === 'disconnected') {
    const removed = disconnectReason === 'PARTICIPANT_REMOVED';
    return (
      <Empty
        title={removed ? 'You were taken out of the room' : 'You are no longer in the room'}
        action={
          <>
            <Button variant="solid" onClick={reconnect}>
              Join again
            </Button>
            <Button onClick={onClose}>Close</Button>
          </>
        }
      >
        {removed
          ? 'Roomwatch does this when the last real participant has left, so that the room can end.'
          : disconnectReason
            ? `LiveKit says: ${words(disconnectReason)}.`
            : 'The connection to LiveKit was lost.'}
      </Empty>
    );
  }
  const code = codeOf(error);
  if (code === null) {
    return (
      <Empty
        title="LiveKit could not be reached from this browser"
        action={
          <>
            <Button variant="solid" onClick={reconnect}>
              Try again
            </Button>
            <Button onClick={onClose}>Close</Button>
          </>
        }
      >
        Roomwatch gave a token, but the connection to LiveKit failed: {error?.message}. The browser must be able to
        reach LiveKit's address itself.
      </Empty>
    );
  }
  return (
    <>
      <ErrorState error={error} title="You cannot watch this room now" compact />
      <div className="flex justify-center gap-2 pb-4">
        <Button onClick={onAgain}>Back</Button>
        {code === 'forbidden' || code === 'room_not_live' ? null : (
          <Link to="/settings" className={buttonClass()}>
            Open the settings
          </Link>
        )}
        <Button onClick={onClose}>Close</Button>
      </div>
    </>
  );
}
