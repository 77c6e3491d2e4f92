import type { Room } from '@roomwatch/react';
import type { LucideIcon } from 'lucide-react';

/** A participant, as a search knows them. */
export interface Person {
  project: string;
  room: string;
  identity: string;
  name: string;
  live: boolean;
}

/** The opened room or person, whose actions are listed. */
export type Frame = { title: string } & (
  | { room: Pick<Room, 'project' | 'name' | 'sid' | 'participantCount'> }
  | { person: Person }
);

export interface Item {
  id: string;
  group: string;
  icon: LucideIcon;
  title: string;
  detail?: string;
  danger?: boolean;
  /** Reason why the item is disabled. */
  reason?: string | null;
  /** Exactly one of these three. */
  run?: () => void;
  enters?: Frame;
  types?: string;
  /** More actions, opened by Tab. */
  more?: Frame;
}
