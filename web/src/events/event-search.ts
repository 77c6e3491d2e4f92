import type { EventTopic } from './event-words';

/** Filter of the Events page, as in the address. */
export interface EventSearch {
  room?: string;
  /** Patterns separated by commas: "participant_*,egress_ended". */
  type?: string;
  project?: string;
}

/** Named groups of types. */
export const TYPE_GROUPS: { pattern: string; name: string; topic: EventTopic }[] = [
  { pattern: 'room_*', name: 'Rooms', topic: 'room' },
  { pattern: 'participant_*', name: 'People', topic: 'person' },
  { pattern: 'track_*', name: 'Tracks', topic: 'track' },
  { pattern: 'egress_*', name: 'Recordings', topic: 'recording' },
  { pattern: 'ingress_*', name: 'Ingress', topic: 'ingress' },
  { pattern: 'agent_*', name: 'Agents', topic: 'agent' },
];

const isGroup = (pattern: string) => TYPE_GROUPS.some((group) => group.pattern === pattern);

/** "a, b,,a" → ["a", "b"]. */
export const patternsOf = (type: string | undefined): string[] => [
  ...new Set((type ?? '').split(/[\s,]+/).filter((pattern) => pattern !== '')),
];

const join = (patterns: string[]) => (patterns.length > 0 ? patterns.join(',') : undefined);

/** Adds or removes a group. Typed patterns stay. */
export function toggleGroup(type: string | undefined, pattern: string): string | undefined {
  const patterns = patternsOf(type);
  return join(patterns.includes(pattern) ? patterns.filter((one) => one !== pattern) : [...patterns, pattern]);
}

/** Returns the typed patterns: those that are not groups. */
export const typedPatterns = (type: string | undefined) =>
  patternsOf(type)
    .filter((pattern) => !isGroup(pattern))
    .join(', ');

/** Replaces the typed patterns. The groups stay. */
export const withTyped = (type: string | undefined, typed: string): string | undefined =>
  join([...new Set([...patternsOf(type).filter(isGroup), ...patternsOf(typed)])]);

/** Returns the filter as a query of the client. */
export function queryOf({ room, type, project }: EventSearch) {
  const patterns = patternsOf(type);
  return { room, project, type: patterns.length > 0 ? patterns : undefined };
}
