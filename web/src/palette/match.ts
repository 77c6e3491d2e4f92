import { parseCursor, type Room } from '@roomwatch/react';
import { fold } from '@/ui/fold';

/** Verbs before a name: "end standup", "remove ada". */
export const VERBS = ['end', 'watch', 'remove', 'mute'] as const;
export type Verb = (typeof VERBS)[number];

/** Returns the parts of a query: the verb at its start, the cursor if it is one, and the words. */
export function readQuery(typed: string): { verb: Verb | null; text: string; cursor: string | null } {
  const text = typed.trim();
  const verb = VERBS.find((one) => typed.trimStart().toLowerCase().startsWith(`${one} `)) ?? null;
  return {
    verb,
    text: verb ? text.slice(verb.length).trim() : text,
    cursor: parseCursor(text) ? text : null,
  };
}

/**
 * Returns how well the words of a query match a text: null if one is missing, else a score; smaller is better. The
 * start of the text is better than the start of a word, which is better than its middle.
 */
export function rank(text: string, query: string): number | null {
  const hay = fold(text);
  let score = 0;
  for (const word of fold(query).split(/\s+/)) {
    if (word === '') continue;
    const at = hay.indexOf(word);
    if (at < 0) return null;
    score += at === 0 ? 0 : /[^\p{L}\p{N}]/u.test(hay[at - 1] ?? '') ? 1 : 2;
  }
  return score;
}

/** Returns the best items first, at most `max`. Equal ones keep their order. */
export function best<T>(items: Iterable<T>, text: (item: T) => string, query: string, max: number): T[] {
  const scored: { item: T; score: number }[] = [];
  for (const item of items) {
    const score = rank(text(item), query);
    if (score !== null) scored.push({ item, score });
  }
  return scored
    .sort((a, b) => a.score - b.score)
    .slice(0, max)
    .map(({ item }) => item);
}

/** Returns live rooms by name or by the start of their sid. Among equals, rooms with more people come first. */
export function findRooms(rooms: Room[], query: string, max: number): Room[] {
  const bySid = query.startsWith('RM_') ? rooms.filter((room) => room.sid.startsWith(query)) : [];
  const full = [...rooms].sort((a, b) => b.participantCount - a.participantCount);
  return [...bySid, ...best(full, (room) => room.name, query, max)].slice(0, max);
}
