import { type Message, matches } from '@roomwatch/react';
import type { EventTopic } from './event-words';

/** Filter of the Events page, as in the address. */
export interface EventSearch {
  room?: string;
  /** Patterns separated by commas: "participant_*,egress_ended". */
  type?: string;
  /** Identity. */
  participant?: string;
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
  { pattern: 'roomwatch.condition_*', name: 'Attention', topic: 'attention' },
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

/** Replaces the typed patterns. A group stays unless a typed pattern is part of it: then that is meant instead. */
export function withTyped(type: string | undefined, typed: string): string | undefined {
  const next = patternsOf(typed);
  const groups = patternsOf(type).filter((group) => isGroup(group) && !next.some((one) => isWithin(one, group)));
  return join([...new Set([...groups, ...next])]);
}

const isWithin = (pattern: string, group: string) => pattern !== group && pattern.startsWith(group.slice(0, -1));

const PEOPLE = 'participant_*';
const AGENTS = 'agent_*';

/** Returns true if the agents are chosen, and not everybody. Agents are participants too, and most have no job events. */
export function areAgents({ type }: EventSearch): boolean {
  const patterns = patternsOf(type);
  return patterns.includes(AGENTS) && !patterns.includes(PEOPLE);
}

/** Returns the filter as a query of the client. `keepOf` removes what it contains too much. */
export function queryOf({ room, type, participant, project }: EventSearch) {
  const patterns = patternsOf(type);
  if (areAgents({ type })) patterns.push(PEOPLE);
  return { room, participant, project, type: patterns.length > 0 ? patterns : undefined };
}

/** Returns the part of the filter that the server cannot apply: of the people, only the agents. */
export function keepOf({ type }: EventSearch): (message: Message) => boolean {
  const patterns = patternsOf(type);
  if (!areAgents({ type })) return () => true;
  return (message) =>
    !message.type.startsWith('participant_') ||
    message.data.participant?.kind === 'AGENT' ||
    patterns.some((pattern) => matches({ type: pattern }, message));
}
