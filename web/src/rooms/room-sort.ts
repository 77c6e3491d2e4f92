/** Columns by which the list of rooms is sorted. */
export const ROOM_SORTS = ['name', 'people', 'publishers', 'tracks', 'agents', 'age', 'event'] as const;
export type RoomSort = (typeof ROOM_SORTS)[number];
