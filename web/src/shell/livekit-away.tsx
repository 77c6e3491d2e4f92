import { type Project, useProjects } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import { CloudOff } from 'lucide-react';
import { Fragment } from 'react';
import { dayTime, shortTime } from '@/ui/format';
import { sameDay } from '@/ui/zone';
import { useConnectionStatus } from './connection-status';

export type Away = Project & { awaySince: number };

const none: Away[] = [];

/** Returns the projects whose LiveKit does not answer, or refuses the key: their rooms are as last reported. */
export function useAway(): Away[] {
  const { data } = useProjects();
  const away = data?.filter((project): project is Away => project.awaySince !== null);
  return away && away.length > 0 ? away : none;
}

/** Returns since when the rooms of a project, or of all, are unconfirmed; null if LiveKit answers. */
export function useAwaySince(project?: string): number | null {
  const since = useAway()
    .filter(({ name }) => project === undefined || name === project)
    .map(({ awaySince }) => awaySince);
  return since.length > 0 ? Math.min(...since) : null;
}

/** "20:34", or "28 Nov, 20:34" on another day. */
export const sinceText = (at: number) => (sameDay(at, Date.now()) ? shortTime(at) : dayTime(at));

/** "LiveKit (production) has not answered since 20:34." The name is left out if there is one project. */
export const awayText = ({ name, state, awaySince }: Away, several: boolean) =>
  `LiveKit${several ? ` (${name})` : ''} has ${
    state === 'unauthorized' ? 'refused the API key' : 'not answered'
  } since ${sinceText(awaySince)}.`;

/** Banner on every page while a LiveKit is away. While Roomwatch itself is, that is the message. */
export function LiveKitBanner() {
  const away = useAway();
  const several = (useProjects().data?.length ?? 1) > 1;
  const status = useConnectionStatus();
  if (away.length === 0 || status === 'stale' || status === 'signed_out') return null;
  return (
    <section aria-label="LiveKit" className="border-b border-line bg-bad-soft px-4 py-1.5 text-center text-bad">
      <span>
        <CloudOff size={13} className="mr-1.5 inline align-[-2px]" aria-hidden />
        {away.map((one) => (
          <Fragment key={one.name}>{awayText(one, several)} </Fragment>
        ))}
        Rooms below are as last reported.
      </span>{' '}
      <Link to="/settings" className="font-medium underline">
        Settings
      </Link>
    </section>
  );
}
