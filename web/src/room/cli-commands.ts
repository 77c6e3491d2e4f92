import { serverUrl } from '@/base';

/** Quotes a word for a POSIX shell, so that any name stays one argument. */
export function shellQuote(word: string): string {
  return /^[A-Za-z0-9_./:@%+=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Returns an argument of `lk`, which must not be read as an option. */
const argument = (word: string) => (word.startsWith('-') ? `-- ${shellQuote(word)}` : shellQuote(word));

/** Command to copy, for the LiveKit CLI and for curl. */
export interface CliCommand {
  label: string;
  lk: string | null;
  curl: string;
}

/** `$ROOMWATCH_TOKEN` is a LiveKit access token: a cookie must not be in the history of a shell. */
function curl(method: string, path: string, project: string | undefined, body?: unknown): string {
  const query = project === undefined ? '' : `?project=${encodeURIComponent(project)}`;
  const parts = [
    `curl -X ${method} ${shellQuote(`${serverUrl}${path}${query}`)}`,
    `-H "Authorization: Bearer $ROOMWATCH_TOKEN"`,
  ];
  if (body !== undefined) parts.push(`-H 'Content-Type: application/json'`, `-d ${shellQuote(JSON.stringify(body))}`);
  return parts.join(' \\\n  ');
}

const roomPath = (room: string) => `/api/rooms/${encodeURIComponent(room)}`;

/** Returns the commands for a room. `project` is given only if there are several. */
export function roomCommands(room: string, project: string | undefined): CliCommand[] {
  return [
    {
      label: 'List participants',
      lk: `lk room participants list ${argument(room)}`,
      curl: curl('GET', `${roomPath(room)}/participants`, project),
    },
    {
      label: 'View events',
      lk: null,
      curl: `curl -N ${shellQuote(
        `${serverUrl}/api/events?room=${encodeURIComponent(room)}${project === undefined ? '' : `&project=${encodeURIComponent(project)}`}`,
      )} \\\n  -H "Authorization: Bearer $ROOMWATCH_TOKEN"`,
    },
    {
      label: 'Send data',
      lk: `lk room send-data --room ${shellQuote(room)} '{"hello":"world"}'`,
      curl: curl('POST', `${roomPath(room)}/data`, project, { text: '{"hello":"world"}' }),
    },
    {
      label: 'Set metadata',
      lk: `lk room update --metadata '{}' ${argument(room)}`,
      curl: curl('PATCH', roomPath(room), project, { metadata: '{}' }),
    },
    { label: 'End the room', lk: `lk room delete ${argument(room)}`, curl: curl('DELETE', roomPath(room), project) },
  ];
}

/** Returns the commands for a participant. */
export function participantCommands(room: string, identity: string, project: string | undefined): CliCommand[] {
  const path = `${roomPath(room)}/participants/${encodeURIComponent(identity)}`;
  return [
    {
      label: 'Set metadata',
      lk: `lk room participants update --room ${shellQuote(room)} --metadata '{}' ${argument(identity)}`,
      curl: curl('PATCH', path, project, { metadata: '{}' }),
    },
    {
      label: 'Remove',
      lk: `lk room participants remove --room ${shellQuote(room)} ${argument(identity)}`,
      curl: curl('DELETE', path, project),
    },
  ];
}

/** Returns the command that mutes or unmutes one track. */
export function muteCommand(
  room: string,
  identity: string,
  trackSid: string,
  muted: boolean,
  project: string | undefined,
): CliCommand {
  return {
    label: muted ? 'Mute' : 'Unmute',
    lk: `lk room mute-track --${muted ? 'mute' : 'unmute'} --room ${shellQuote(room)} --identity ${shellQuote(identity)} ${argument(trackSid)}`,
    curl: curl(
      'POST',
      `${roomPath(room)}/participants/${encodeURIComponent(identity)}/tracks/${encodeURIComponent(trackSid)}/mute`,
      project,
      {
        muted,
      },
    ),
  };
}
