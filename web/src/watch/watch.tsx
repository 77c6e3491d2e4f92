import { type Room, useMe, useProjects } from '@roomwatch/react';
import { type RoomConnection, useRoomConnection } from '@roomwatch/react/livekit';
import { Link } from '@tanstack/react-router';
import { EyeOff, LogIn, Volume2, VolumeX } from 'lucide-react';
import { type FormEvent, useEffect, useState } from 'react';
import { useProjectFor } from '@/room/moderate';
import { leaveReason } from '@/sessions/leave-reason';
import { useRefusal } from '@/shell/rights';
import { Badge } from '@/ui/badge';
import { Button, buttonClass } from '@/ui/button';
import { codeOf } from '@/ui/errors';
import { Field, Input } from '@/ui/field';
import { plural } from '@/ui/format';
import { Panel } from '@/ui/panel';
import { Name } from '@/ui/person-name';
import { Empty, ErrorState } from '@/ui/states';
import { Age, Clock } from '@/ui/time';
import type { Quality } from './quality';
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
    <Inside room={room} reason={reason} onQuality={onQuality} onClose={onClose} onAgain={() => setReason(null)} />
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
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    onJoin(String(new FormData(event.currentTarget).get('reason')).trim());
  };
  return (
    <Panel className="mb-4">
      <form onSubmit={submit} className="grid gap-x-10 gap-y-4 md:grid-cols-[minmax(0,1fr)_18rem]">
        <div>
          <h2 className="flex items-center gap-2 text-[0.9375rem] font-semibold">
            <EyeOff size={16} aria-hidden /> Watch {room.name} invisibly
          </h2>
          <ul className="mt-2 list-disc space-y-1 pl-5 text-ink-2">
            <li>Your browser joins through LiveKit, hidden from the participants. You cannot send anything.</li>
            <li>
              LiveKit sends webhooks for you joining and leaving. Roomwatch marks them and does not count you; other
              receivers see a hidden participant.
            </li>
            <li>
              A hidden participant keeps a room open. When the last other participant leaves, Roomwatch removes you, so
              that the room can end.
            </li>
            <li>The audit log records who watched which room, and when.</li>
          </ul>
        </div>
        <div className="space-y-4">
          <Field label="Reason" hint="Some installations require one. Saved in the audit log.">
            <Input name="reason" autoComplete="off" maxLength={200} />
          </Field>
          <div className="flex gap-2">
            <Button type="submit" variant="solid">
              <LogIn size={14} /> Start watching
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
          participants={participants}
          speakers={speakers}
          sound={sound}
          joining={status === 'connecting' || status === 'idle'}
        />
        <section aria-label="Data messages" className="border-line max-lg:border-t lg:border-l">
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
    </Panel>
  );
}

/** Reason why the watcher is not in the room, and what to do. */
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
        title={removed ? 'You were removed from the room' : 'Disconnected from the room'}
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
          ? 'Roomwatch removes its watchers when the last participant leaves, so that the room can end.'
          : disconnectReason
            ? `Reason: ${leaveReason(disconnectReason)}.`
            : 'The connection to LiveKit was lost.'}
      </Empty>
    );
  }
  const code = codeOf(error);
  if (code === null) {
    return (
      <Empty
        title="This browser cannot reach LiveKit"
        action={
          <>
            <Button variant="solid" onClick={reconnect}>
              Try again
            </Button>
            <Button onClick={onClose}>Close</Button>
          </>
        }
      >
        The token is valid, but the connection to LiveKit failed: {error?.message}. The browser connects to LiveKit
        directly.
      </Empty>
    );
  }
  return (
    <>
      <ErrorState error={error} title="Cannot watch this room" compact />
      <div className="flex justify-center gap-2 pb-4">
        <Button onClick={onAgain}>Back</Button>
        {code === 'forbidden' || code === 'room_not_live' ? null : (
          <Link to="/settings" className={buttonClass()}>
            Open settings
          </Link>
        )}
        <Button onClick={onClose}>Close</Button>
      </div>
    </>
  );
}
