import { expect, it } from 'vitest';
import { findRooms } from '@/palette/match';
import { matchesRoom } from '@/rooms/room-list';
import { fold } from '@/ui/fold';
import examples from '../../fixtures/fold.json';

const room = (name: string) => ({ name, sid: 'RM_1', participantCount: 0 }) as never;

it('case and accents do not count in a search', () => {
  for (const [text = '', part = ''] of examples.found) {
    expect(fold(text), `${part} in ${text}`).toContain(fold(part));
    expect(matchesRoom(room(text), { q: part }), `${part} in ${text}`).toBe(true);
    expect(findRooms([room(text)], part, 1), `${part} in ${text}`).toHaveLength(1);
  }
  for (const [text = '', part = ''] of examples.missing.filter(([, part]) => fold(part ?? '') !== '')) {
    expect(matchesRoom(room(text), { q: part }), `${part} in ${text}`).toBe(false);
    expect(findRooms([room(text)], part, 1), `${part} in ${text}`).toEqual([]);
  }
});
