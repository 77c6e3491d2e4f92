/** Maximum rooms side by side. Each is a connection with its own media. */
export const ROOMS_MAX = 9;

/** A room in the address of the page. The project is left out if there is only one. */
export interface ChosenRoom {
  name: string;
  project?: string | undefined;
}

export const keyOf = ({ name, project }: ChosenRoom) => `${project ?? ''}/${name}`;

/** Reads the rooms of an address. Anything else, a room that is named twice, and the tenth room are left out. */
export function chosenRooms(value: unknown): ChosenRoom[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const rooms = new Map<string, ChosenRoom>();
  for (const one of value as unknown[]) {
    if (typeof one !== 'object' || one === null || !('name' in one)) continue;
    const { name, project } = one as { name: unknown; project?: unknown };
    if (typeof name !== 'string' || name === '') continue;
    const room = { name, project: typeof project === 'string' && project !== '' ? project : undefined };
    if (rooms.size < ROOMS_MAX) rooms.set(keyOf(room), room);
  }
  return rooms.size > 0 ? [...rooms.values()] : undefined;
}
