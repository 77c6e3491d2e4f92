import type { Message } from './wire';

/** Values of one field are alternatives, fields are conditions. An absent field lets everything through. */
export interface EventsFilter {
  room?: string | string[];
  /** `*` matches any characters: `track_*`. */
  type?: string | string[];
  /** Identities. Events without a participant match none. */
  participant?: string | string[];
  project?: string | string[];
}

/** Returns true if the filter lets a message through; the server decides in the same way. */
export function matches({ room, type, participant, project }: EventsFilter, message: Message): boolean {
  const one = (wanted: string | string[] | undefined, is: (value: string) => boolean) =>
    wanted === undefined || [wanted].flat().some(is);
  return (
    one(room, (value) => value === message.room) &&
    one(project, (value) => value === message.project) &&
    one(participant, (value) => value === message.data.participant?.identity) &&
    one(type, (pattern) => glob(pattern, message.type))
  );
}

function glob(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return pattern === text;
  let at = first.length;
  if (!text.startsWith(first)) return false;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
