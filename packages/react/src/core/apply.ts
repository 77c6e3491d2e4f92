import { newerThan } from './cursor';
import { UNKNOWN } from './tail';
import type { Change, Cursor, Egress, Ingress, Message, Participant, Room, SessionDetail } from './wire';

/** Cached list of rooms: the server's answer, updated by events. */
export interface RoomsData {
  cursor: Cursor | null;
  rooms: Room[];
}

/** Cached room: the newest live session of a name with its egress and ingress, or null. */
export interface RoomData {
  cursor: Cursor | null;
  room: Room | null;
  /** Sid of the session that ended last. A late event about it is ignored. */
  ended?: string;
  egress: Egress[];
  ingress: Ingress[];
}

/** Cached participants: those of the newest live session of a name. `roomSid` is null if there is none. */
export interface ParticipantsData {
  cursor: Cursor | null;
  roomSid: string | null;
  participants: Participant[];
}

/** Room whose events a query follows. */
export interface RoomScope {
  name: string;
  project?: string;
  /** Returns true if the name may have another live session than this one, which has ended. */
  another?: (sid: string) => boolean;
}

const within = (scope: RoomScope, change: Change) =>
  change.room === scope.name && (!scope.project || scope.project === change.project);

/**
 * Returns the sid of the room that a message is about. Its timestamp is the room's `lastEventAt`, which no change
 * contains.
 */
function touched(message: Message): string | undefined {
  for (const change of message.changes ?? []) {
    const sid = change.kind === 'room' ? change.id : change.roomSid;
    if (sid) return sid;
  }
  const sid = message.data?.room?.sid;
  return typeof sid === 'string' ? sid : undefined;
}

/**
 * Applies a batch of messages in one pass over the list. Unchanged rooms keep their identity, and so does the list if
 * no room changed.
 */
export function applyToRooms(data: RoomsData, messages: readonly Message[], project?: string): RoomsData {
  const todo = newerThan(data.cursor, messages);
  const rooms = new Map<string, Room | Partial<Room> | null>();
  const whole = new Set<string>();
  const seen = new Map<string, number>();
  for (const message of todo) {
    if (project && message.project !== project) continue;
    const sid = touched(message);
    if (sid) seen.set(sid, message.timestamp);
    for (const change of message.changes ?? []) {
      if (change.kind !== 'room') continue;
      if (change.op === 'patch') {
        if (rooms.get(change.id) !== null) rooms.set(change.id, { ...rooms.get(change.id), ...change.value });
      } else {
        whole.add(change.id);
        rooms.set(change.id, change.op === 'set' ? (change.value as Room) : null);
      }
    }
  }
  if (rooms.size === 0 && seen.size === 0) return data;
  let changed = false;
  const next: Room[] = [];
  for (const room of data.rooms) {
    const value = rooms.get(room.sid);
    const at = seen.get(room.sid);
    if (value === undefined && at === undefined) {
      next.push(room);
      continue;
    }
    changed = true;
    rooms.delete(room.sid);
    if (value !== null) next.push(see({ ...room, ...value }, at));
  }
  for (const [sid, value] of rooms) {
    // A patch of a room that is not listed: it ended, or the caller may not see it.
    if (!value || !whole.has(sid)) continue;
    changed = true;
    next.push(see(value as Room, seen.get(sid)));
  }
  return changed ? { cursor: last(todo), rooms: next } : data;
}

export function applyToRoom(data: RoomData, messages: readonly Message[], scope: RoomScope): RoomData | typeof UNKNOWN {
  const todo = newerThan(data.cursor, messages);
  let { room, ended, egress, ingress } = data;
  let unsure = false;
  for (const message of todo) {
    for (const change of message.changes ?? []) {
      if (!within(scope, change)) continue;
      if (change.kind !== 'room' && change.op === 'set' && change.roomSid) {
        // Belongs to another session. An egress can be reported before its room.
        if (room ? change.roomSid !== room.sid : change.roomSid === ended) continue;
      }
      if (change.kind === 'egress') egress = applyToList(egress, change, ({ egressId }) => egressId);
      if (change.kind === 'ingress') ingress = applyToList(ingress, change, ({ ingressId }) => ingressId);
      if (change.kind !== 'room') continue;
      if (change.op === 'set') {
        const value = change.value as Room;
        if (room?.sid === change.id) room = { ...room, ...value };
        else if (room === null || isNewer(value, room)) {
          room = value;
          unsure = false;
          egress = egress.filter(({ roomSid }) => !roomSid || roomSid === value.sid);
        }
      } else if (room?.sid === change.id) {
        if (change.op === 'delete') {
          // The other session may be the next one, which starts in the same messages.
          unsure = scope.another?.(change.id) ?? false;
          [room, ended] = [null, change.id];
        } else room = { ...room, ...change.value };
      } else if (room === null && change.op === 'patch') return UNKNOWN;
      // An ingress belongs to the name: the next session has it too.
      if (room === null) egress = [];
    }
    if (room && touched(message) === room.sid) room = see(room, message.timestamp);
  }
  if (unsure) return UNKNOWN;
  if (room === data.room && egress === data.egress && ingress === data.ingress) return data;
  return { cursor: last(todo), room, ended, egress, ingress };
}

/** Applies one change to a short list. A patch of an item that is not listed belongs to another session. */
function applyToList<T>(list: T[], { op, id, value }: Change, idOf: (one: T) => string | null): T[] {
  const at = list.findIndex((one) => idOf(one) === id);
  if (op === 'delete') return at < 0 ? list : list.filter((_, n) => n !== at);
  if (at >= 0) return list.map((one, n) => (n === at ? { ...one, ...(value as Partial<T>) } : one));
  return op === 'set' ? [...list, value as T] : list;
}

export function applyToParticipants(
  data: ParticipantsData,
  messages: readonly Message[],
  scope: RoomScope,
): ParticipantsData | typeof UNKNOWN {
  const todo = newerThan(data.cursor, messages);
  let { roomSid } = data;
  let people: Map<string, Participant> | undefined;
  let unsure = false;
  for (const message of todo) {
    for (const change of message.changes ?? []) {
      if (!within(scope, change)) continue;
      if (change.kind === 'room') {
        // A session of this name starts or ends. It does not keep the participants of another one.
        if (change.op === 'set' && change.id !== roomSid) {
          if (roomSid !== null) return UNKNOWN; // Two live sessions of one name: only the server knows the newest.
          roomSid = change.id;
          unsure = false;
          people = new Map();
        } else if (change.op === 'delete' && change.id === roomSid) {
          unsure = scope.another?.(change.id) ?? false;
          roomSid = null;
          people = new Map();
        }
        continue;
      }
      if (change.kind !== 'participant') continue;
      if (change.roomSid !== roomSid) {
        // The start of this session was missed. A late event of an ended session is ignored.
        if (roomSid === null && change.op !== 'delete') return UNKNOWN;
        continue;
      }
      people ??= new Map(data.participants.map((one) => [one.sid, one]));
      const before = people.get(change.id);
      if (change.op === 'set') people.set(change.id, change.value as Participant);
      else if (change.op === 'delete') people.delete(change.id);
      else if (before) people.set(change.id, { ...before, ...change.value } as Participant);
      else return UNKNOWN;
    }
  }
  if (unsure) return UNKNOWN;
  if (!people && roomSid === data.roomSid) return data;
  return { cursor: last(todo), roomSid, participants: people ? [...people.values()] : data.participants };
}

/** Applies changes of egress. Participations come from the history and have no changes. */
export function applyToSession(data: SessionDetail, messages: readonly Message[]): SessionDetail {
  let { egress } = data;
  for (const message of messages) {
    for (const change of message.changes ?? []) {
      // An ended egress leaves the state, but stays in the history.
      if (change.kind !== 'egress' || change.roomSid !== data.session.sid || change.op === 'delete') continue;
      egress = applyToList(egress, change, ({ egressId }) => egressId);
    }
  }
  return egress === data.egress ? data : { ...data, egress };
}

const see = (room: Room, at: number | undefined): Room =>
  at === undefined || at <= (room.lastEventAt ?? 0) ? room : { ...room, lastEventAt: at };

/** Returns true if `a` started later. `a` comes later in the log, which decides a tie. */
const isNewer = (a: Room, b: Room) => (a.startedAt ?? Number.POSITIVE_INFINITY) >= (b.startedAt ?? 0);

const last = (messages: readonly Message[]) => messages[messages.length - 1]?.cursor ?? null;
