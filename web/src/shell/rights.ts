import { type Me, useMe } from '@roomwatch/react';
import { getPlace, usePlace } from '@/ui/place';

/** Refusal of every action while the page shows the past. */
const PAST = 'This is the past. Go back to live to act.';

/** Actions that need a right. Each is a row of the server's table of rights. */
export type Action = 'moderate' | 'create' | 'end' | 'watch' | 'record' | 'attend' | 'administer';

/**
 * Returns the reason why the caller may not do this, for a tooltip, or null. The server checks the rights itself: this
 * only disables buttons.
 */
export function refusal(me: Me | undefined, action: Action, room?: string): string | null {
  if (action !== 'administer' && getPlace()) return PAST;
  if (!me) return 'Your rights are not known yet';
  if (me.kind === 'token') {
    const grants = me.grants ?? {};
    const admin = grants.roomAdmin === true && (room === undefined || grants.room === room);
    const allowed = {
      moderate: admin,
      watch: admin,
      end: grants.roomCreate === true,
      create: grants.roomCreate === true,
      record: grants.roomRecord === true,
      attend: false,
      administer: false,
    };
    const needed = {
      moderate: 'roomAdmin',
      watch: 'roomAdmin',
      end: 'roomCreate',
      create: 'roomCreate',
      record: 'roomRecord',
      attend: 'an operator',
      administer: 'an admin',
    };
    return allowed[action] ? null : `Your token needs ${needed[action]}`;
  }
  if (me.role === 'admin') return null;
  if (me.role === 'operator') return action === 'administer' ? 'Needs the admin role.' : null;
  return 'Needs the operator role. You are a viewer.';
}

/** Returns {@link refusal} for the signed-in user. */
export function useRefusal(action: Action, room?: string): string | null {
  usePlace();
  return refusal(useMe().data, action, room);
}
