import type { Room, SearchResult } from '@roomwatch/react';
import { useMemo, useRef } from 'react';
import { useFrameItems } from './frame-items';
import type { Frame, Item } from './item';
import { best, findRooms, readQuery } from './match';
import { ROOMS_MAX, useActions } from './use-actions';

interface PaletteInput {
  query: string;
  frame: Frame | undefined;
  rooms: Room[];
  /** Results of the server; undefined without a search. */
  found: SearchResult[] | undefined;
}

/** Returns the items of the palette for a query. */
export function usePaletteItems({ query, frame, rooms, found }: PaletteInput): Item[] {
  const actions = useActions();
  const latest = useRef(rooms);
  latest.current = rooms;
  const hasRooms = rooms.length > 0;
  const root = useMemo(() => {
    if (frame) return [];
    // Read through a ref: the list does not change until something is typed or found, or the first rooms arrive.
    const now = hasRooms ? latest.current : [];
    const { verb, text, cursor } = readQuery(query);
    if (verb) return actions.verb(verb, text, now, found ?? []);
    return [
      ...(cursor ? [actions.event(cursor)] : []),
      ...actions.rooms(findRooms(now, text, text === '' ? 5 : ROOMS_MAX)),
      ...actions.found(found ?? []),
      ...best(actions.commands, (item) => `${item.title} ${item.detail ?? ''}`, text, 30),
    ];
  }, [query, frame, found, hasRooms, actions]);
  const inside = useFrameItems(frame, actions);
  return frame ? best(inside, (item) => item.title, query, 40) : root;
}
