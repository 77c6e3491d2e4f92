import { useProjects } from '@roomwatch/react';
import { useConnectionSummary } from '@/shell/connection-status';
import { awayText, sinceText, useAway } from '@/shell/livekit-away';

export interface Trouble {
  text: string;
  detail: string;
}

const CAUSES: Record<string, string> = {
  connecting: 'Connecting to Roomwatch',
  polling: 'The event stream is down',
  stale: 'No connection to Roomwatch',
  signed_out: 'Signed out. Reload this page to sign in',
  too_many: 'Too many open connections',
};

/** Returns the reasons why the screen may not show the present, the most important first. */
export function useTrouble(): Trouble[] {
  const { status, staleSince } = useConnectionSummary();
  const away = useAway();
  const several = (useProjects().data?.length ?? 1) > 1;
  const cause = CAUSES[status];
  if (cause !== undefined) {
    const detail =
      status === 'polling'
        ? 'The numbers are up to a minute old.'
        : staleSince
          ? `Everything below is from ${sinceText(staleSince)}.`
          : 'Everything below may be old.';
    return [{ text: cause, detail }];
  }
  return away.map((one) => ({ text: awayText(one, several), detail: 'Its rooms are as last reported.' }));
}
