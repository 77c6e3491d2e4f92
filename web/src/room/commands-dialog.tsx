import type { Participant } from '@roomwatch/react';
import { useState } from 'react';
import { CopyButton } from '@/ui/copy';
import { cx } from '@/ui/cx';
import { Dialog } from '@/ui/dialog';
import { type CliCommand, muteCommand, participantCommands, roomCommands } from './cli-commands';
import { nameOf, trackName } from './people';

interface Scope {
  room: string;
  /** Given only if there are several. */
  project: string | undefined;
  onClose: () => void;
}

/** Dialog with the commands for a room. */
export function RoomCommands({ room, project, onClose }: Scope) {
  return <CommandsDialog title={room} commands={roomCommands(room, project)} onClose={onClose} />;
}

/** Dialog with the commands for a participant and the tracks. */
export function ParticipantCommands({ room, participant, project, onClose }: Scope & { participant: Participant }) {
  const { identity, tracks } = participant;
  const mute = tracks
    .filter((track) => track.type !== 'data')
    .map((track) => {
      const command = muteCommand(room, identity, track.sid, !track.muted, project);
      return { ...command, label: `${command.label} ${trackName(track)}` };
    });
  const commands = [...mute, ...participantCommands(room, identity, project)];
  return <CommandsDialog title={nameOf(participant)} commands={commands} onClose={onClose} />;
}

/** Dialog with the actions as commands, for the LiveKit CLI and for curl. */
export function CommandsDialog({
  title,
  commands,
  onClose,
}: {
  title: string;
  commands: CliCommand[];
  onClose: () => void;
}) {
  const [tool, setTool] = useState<'lk' | 'curl'>('lk');
  return (
    <Dialog
      wide
      title={`${title} from a terminal`}
      description={
        tool === 'lk'
          ? 'The LiveKit CLI sends commands to LiveKit, for the project that you configured for it.'
          : 'curl sends commands to Roomwatch. $ROOMWATCH_TOKEN is a LiveKit access token; `roomwatch token` creates one.'
      }
      onClose={onClose}
    >
      <fieldset aria-label="Tool" className="mb-3 flex gap-1">
        {(['lk', 'curl'] as const).map((name) => (
          <button
            key={name}
            type="button"
            aria-pressed={tool === name}
            onClick={() => setTool(name)}
            className={cx(
              'h-7 rounded-md px-2.5 font-mono text-xs',
              tool === name ? 'bg-active text-ink' : 'text-ink-2 hover:bg-hover',
            )}
          >
            {name}
          </button>
        ))}
      </fieldset>
      <dl className="space-y-3">
        {commands.map((command) => {
          const text = command[tool];
          return text === null ? null : (
            <div key={command.label}>
              <dt className="text-xs text-ink-3">{command.label}</dt>
              <dd className="mt-1 flex items-start gap-2 rounded-md bg-sunken py-1.5 pr-1.5 pl-3">
                <pre className="min-w-0 grow overflow-x-auto py-0.5 font-mono text-xs break-all whitespace-pre-wrap">
                  {text}
                </pre>
                <CopyButton text={text} label={`Copy: ${command.label}`} />
              </dd>
            </div>
          );
        })}
      </dl>
    </Dialog>
  );
}
