import type { Message } from '../core/wire';

const isCondition = (type: string) => type.startsWith('roomwatch.condition_');

/** Messages of one flush, indexed by room: a query about one room does not read all of them. */
export class Batch {
  private byRoom: Map<string, Message[]> | undefined;

  constructor(readonly all: readonly Message[]) {}

  /** Returns the messages about one room, in log order. */
  of(room: string): readonly Message[] {
    if (!this.byRoom) {
      this.byRoom = new Map();
      for (const message of this.all) {
        if (message.room === null) continue;
        const list = this.byRoom.get(message.room);
        if (list) list.push(message);
        else this.byRoom.set(message.room, [message]);
      }
    }
    return this.byRoom.get(room) ?? [];
  }

  /** Returns true if an egress, a phone call, an agent, or the health of a project may have changed. */
  has(what: 'egress' | 'calls' | 'agents' | 'projects'): boolean {
    if (what === 'egress') return this.all.some(({ type }) => type.startsWith('egress_'));
    // LiveKit went away or came back: a condition of no room.
    if (what === 'projects') return this.all.some(({ type, room }) => room === null && isCondition(type));
    const kind = what === 'calls' ? 'SIP' : 'AGENT';
    return (
      this.hasRoomChange() ||
      this.all.some(({ type, data }) => data.participant?.kind === kind || (what === 'agents' && isCondition(type)))
    );
  }

  /** Returns true if a room started or ended. */
  hasRoomChange(): boolean {
    return this.all.some(({ changes }) => changes?.some(({ kind, op }) => kind === 'room' && op !== 'patch'));
  }
}
