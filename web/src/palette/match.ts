import { parseCursor, type Room } from '@roomwatch/react';

/** What can be said before a name: "end standup", "remove ada". */
export const VERBS = ['end', 'watch', 'remove', 'mute'] as const;
export type Verb = (typeof VERBS)[number];

/** What was typed: a verb if it begins with one and a space, a cursor if it looks like one, and the words. */
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
 * How well words fit a text: null when one of them is nowhere in it; else the smaller the better. The beginning beats the
 * beginning of a word, which beats the middle of one.
 */
export function rank(text: string, query: string): number | null {
  const hay = text.toLowerCase();
  let score = 0;
  for (const word of query.toLowerCase().split(/\s+/)) {
    if (word === '') continue;
    const at = hay.indexOf(word);
    if (at < 0) return null;
    score += at === 0 ? 0 : /[^\p{L}\p{N}]/u.test(hay[at - 1] ?? '') ? 1 : 2;
  }
  return score;
}

/** The best ones first, at most `max`; equally good ones keep their order. */
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

/** Live rooms by name or by the beginning of their sid, fuller rooms first among equals. */
export function findRooms(rooms: Room[], query: string, max: number): Room[] {
  const bySid = query.startsWith('RM_') ? rooms.filter((room) => room.sid.startsWith(query)) : [];
  const full = [...rooms].sort((a, b) => b.participantCount - a.participantCount);
  return [...bySid, ...best(full, (room) => room.name, query, max)].slice(0, max);
}
