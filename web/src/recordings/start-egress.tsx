import { useProjects, useRoomParticipants, useStartEgress } from '@roomwatch/react';
import { type FormEvent, useState } from 'react';
import { useProjectFor } from '@/room/moderate';
import { nameOf, trackName } from '@/room/people';
import { Button } from '@/ui/button';
import { Dialog } from '@/ui/dialog';
import { codeOf, messageOf } from '@/ui/errors';
import { Field, Input, Select } from '@/ui/field';
import { toast } from '@/ui/toast';

const KINDS: Record<string, string> = { room_composite: 'the whole room', track: 'one track', web: 'a web page' };

/** Dialog that starts a recording or a stream with a preset of the configuration: of a room, or without one of a web page. */
export function StartEgress({ project, room, onClose }: { project: string; room?: string; onClose: () => void }) {
  const start = useStartEgress();
  const wanted = useProjectFor(project);
  const of = useProjects().data?.find(({ name }) => name === project);
  const presets = of?.egressPresets.filter(({ kind }) => (kind === 'web') === (room === undefined)) ?? [];
  const [chosen, setChosen] = useState<string>();
  const preset = presets.find(({ name }) => name === chosen) ?? presets[0];
  const [track, setTrack] = useState('');
  const [url, setUrl] = useState('');
  const [error, setError] = useState<unknown>(null);
  const isRunning = codeOf(error) === 'egress_running';

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (!preset) return;
    try {
      await start.mutateAsync({
        preset: preset.name,
        project: wanted,
        room,
        track: preset.kind === 'track' ? track : undefined,
        url: preset.kind === 'web' ? url.trim() : undefined,
        another: isRunning || undefined,
      });
      toast.good(`LiveKit starts ${preset.name}`);
      onClose();
    } catch (cause) {
      setError(cause);
    }
  };

  return (
    <Dialog
      title={room === undefined ? 'Record or stream a web page' : `Record or stream ${room}`}
      description={
        room === undefined
          ? 'LiveKit opens the page in a browser of its own, and records what it shows.'
          : 'LiveKit tells the participants that the room is being recorded. It runs until it is stopped or the room ends.'
      }
      onClose={onClose}
    >
      <form onSubmit={submit} className="space-y-4">
        <fieldset>
          <legend className="mb-1 text-xs font-medium text-ink-2">Preset</legend>
          <div className="space-y-1">
            {presets.map(({ name, kind, description }) => (
              <label key={name} className="flex gap-2 rounded-md px-2 py-1.5 hover:bg-hover">
                <input
                  type="radio"
                  name="preset"
                  className="mt-1 shrink-0 self-start"
                  checked={name === preset?.name}
                  onChange={() => {
                    setChosen(name);
                    setError(null);
                  }}
                />
                <span className="min-w-0">
                  <span className="font-medium">{name}</span>{' '}
                  <span className="text-xs text-ink-3">{KINDS[kind] ?? kind}</span>
                  {description ? <span className="block text-xs text-ink-2">{description}</span> : null}
                </span>
              </label>
            ))}
          </div>
        </fieldset>
        {preset?.kind === 'track' && room !== undefined ? (
          <Tracks room={room} project={project} value={track} onChange={setTrack} />
        ) : null}
        {preset?.kind === 'web' ? (
          <Field label="Address of the page" hint={`A page of ${preset.allowedOrigins.join(', ')}`}>
            <Input
              type="url"
              required
              placeholder={preset.allowedOrigins[0]}
              value={url}
              onChange={(event) => {
                setUrl(event.target.value);
                setError(null);
              }}
              autoComplete="off"
              spellCheck={false}
            />
          </Field>
        ) : null}
        {error ? (
          <p role="alert" className="text-xs break-words text-bad">
            {messageOf(error)}
          </p>
        ) : null}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="solid" disabled={start.isPending || !preset}>
            {start.isPending ? 'Starting…' : isRunning ? 'Start another one' : 'Start'}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** Choice of a track of the room. */
function Tracks({
  room,
  project,
  value,
  onChange,
}: {
  room: string;
  project: string;
  value: string;
  onChange: (sid: string) => void;
}) {
  const participants = useRoomParticipants(room, { project }).data ?? [];
  const tracks = participants.flatMap((one) => one.tracks.map((track) => ({ one, track })));
  return (
    <Field label="Track to record" hint={tracks.length === 0 ? 'There are no tracks now.' : undefined}>
      <Select required className="w-full" value={value} onChange={(event) => onChange(event.target.value)}>
        <option value="">Choose…</option>
        {tracks.map(({ one, track }) => (
          <option key={track.sid} value={track.sid}>
            {nameOf(one)}: {trackName(track)}
          </option>
        ))}
      </Select>
    </Field>
  );
}
