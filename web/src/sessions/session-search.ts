import type { SessionsQuery, SessionTrouble } from '@roomwatch/react';
import { timesOf, type When } from '@/ui/when';
import type { SessionColumn } from './session-sort';

export const TROUBLES: { trouble: SessionTrouble; name: string }[] = [
  { trouble: 'lost', name: 'Connection lost' },
  { trouble: 'recording', name: 'Recording failed' },
  { trouble: 'call', name: 'Call failed' },
  { trouble: 'agent', name: 'Agent failed' },
];

/** What the address of the page says. */
export interface SessionSearch extends When {
  room?: string;
  identity?: string;
  roomContains?: string;
  participantContains?: string;
  project?: string;
  /** Names with commas: `lost,call`. */
  trouble?: string;
  recorded?: boolean;
  agents?: boolean;
  calls?: boolean;
  sort?: SessionColumn;
  desc?: boolean;
}

/** Returns the kinds of trouble in an address. Unknown ones are ignored. */
export const troublesOf = (text: string | undefined): SessionTrouble[] => {
  const named = text?.split(',') ?? [];
  return TROUBLES.map(({ trouble }) => trouble).filter((trouble) => named.includes(trouble));
};

/** Returns the address with one kind of trouble switched. */
export function switchTrouble(text: string | undefined, trouble: SessionTrouble): string | undefined {
  const on = troublesOf(text);
  const next = on.includes(trouble) ? on.filter((one) => one !== trouble) : [...on, trouble];
  return troublesOf(next.join(',')).join(',') || undefined;
}

/** Returns the query of an address. `now` is the end of a span. */
export function queryOf(
  { last, trouble, desc = true, from, to, ...search }: SessionSearch,
  now: number,
): SessionsQuery {
  return {
    ...search,
    ...timesOf({ last, from, to }, now),
    trouble: troublesOf(trouble),
    order: desc ? undefined : 'asc',
  };
}
