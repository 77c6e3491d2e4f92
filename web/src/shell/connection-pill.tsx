import { type ConnectionStatus, useProjects, useRoomwatch } from '@roomwatch/react';
import { Link, useLocation } from '@tanstack/react-router';
import { ChevronsRight, CircleDashed, CloudOff, Lock, OctagonX, RotateCw, TriangleAlert } from 'lucide-react';
import { Popover } from 'radix-ui';
import { type ReactNode, useEffect, useState, useSyncExternalStore } from 'react';
import { Button } from '@/ui/button';
import { cx } from '@/ui/cx';
import { count, plural, shortTime } from '@/ui/format';
import { portal } from '@/ui/portal';
import { Ago } from '@/ui/time';
import { useConnectionSummary } from './connection-status';
import { awayText, useAway } from './livekit-away';

/** Time for which a state must last before it is read out. Short breaks are not announced. */
const ANNOUNCE_AFTER_MS = 3_000;

const looks: Record<ConnectionStatus, { icon: ReactNode; className: string; word: string; explain: string }> = {
  connecting: {
    icon: <CircleDashed size={13} />,
    className: 'border-line-strong text-ink-2',
    word: 'Connecting',
    explain: 'The event stream is opening.',
  },
  live: {
    icon: <span className="dot mx-0.5 block size-2 rounded-full bg-good-fill" />,
    className: 'border-line text-ink',
    word: 'Live',
    explain: 'Every event appears here within moments of LiveKit sending it.',
  },
  catching_up: {
    icon: <ChevronsRight size={13} />,
    className: 'border-accent text-accent',
    word: 'Catching up',
    explain: 'The connection is back. Missed events are being replayed in order.',
  },
  polling: {
    icon: <RotateCw size={12} />,
    className: 'border-warn text-warn',
    word: 'Polling',
    explain:
      'The event stream is down, but the server answers. The page asks once a minute, and when you return to it.',
  },
  stale: {
    icon: <TriangleAlert size={13} />,
    className: 'border-bad bg-bad-soft text-bad',
    word: 'Stale',
    explain: 'The server does not answer. The data may be old. The page catches up when the server is back.',
  },
  signed_out: {
    icon: <Lock size={12} />,
    className: 'border-bad bg-bad-soft text-bad',
    word: 'Signed out',
    explain: 'Your login has expired. Sign in to see updates.',
  },
  too_many: {
    icon: <OctagonX size={13} />,
    className: 'border-warn bg-warn-soft text-warn',
    word: 'Too many connections',
    explain: 'You have reached the limit of open pages for one user. Close one, then try again.',
  },
};

const livekitDown = {
  icon: <CloudOff size={13} />,
  className: 'border-bad bg-bad-soft text-bad',
  word: 'Live · LiveKit down',
};

const outOfTouch = {
  icon: <CloudOff size={13} />,
  className: 'border-warn bg-warn-soft text-warn',
  word: 'Out of touch',
  explain:
    'This node of Roomwatch cannot reach NATS, so events of the other nodes do not arrive. The page goes on by itself when it can.',
};

/** State of the stream as shape, word and colour, with an explanation and the action to take. */
export function ConnectionPill() {
  const { connection } = useRoomwatch();
  const location = useLocation();
  const { status, behind, staleSince, freshAt, streams } = useConnectionSummary();
  const away = useAway();
  const several = (useProjects().data?.length ?? 1) > 1;
  // The stream is live, but what it shows is not.
  const down = status === 'live' && away.length > 0;
  const look =
    status === 'live' && freshAt
      ? { ...looks.live, ...outOfTouch }
      : down
        ? { ...looks.live, ...livekitDown }
        : looks[status];
  const [container, setContainer] = useState<HTMLElement>();
  const word =
    status === 'catching_up' && behind > 0
      ? `${look.word} · ${count(behind)}`
      : status === 'stale' && staleSince
        ? `${look.word} since ${shortTime(staleSince)}`
        : look.word;
  return (
    <>
      <Popover.Root onOpenChange={(open) => open && setContainer(portal())}>
        <Popover.Trigger
          className={cx(
            'flex h-7 items-center gap-1.5 rounded-full border px-2.5 text-xs font-medium whitespace-nowrap num hover:bg-hover',
            look.className,
          )}
        >
          <span aria-hidden>{look.icon}</span>
          <span className="sr-only">Connection: </span>
          {word}
        </Popover.Trigger>
        <Popover.Portal container={container}>
          <Popover.Content
            align="end"
            sideOffset={6}
            collisionPadding={12}
            aria-label="Connection"
            className="pop-in z-50 w-72 rounded-lg bg-raised p-4 shadow-pop"
          >
            <p className="font-medium">{word}</p>
            <p className="mt-1 text-ink-2">{look.explain}</p>
            {down
              ? away.map((one) => (
                  <p key={one.name} className="mt-1 text-bad">
                    {awayText(one, several)}
                  </p>
                ))
              : null}
            {status === 'too_many' && streams ? (
              <p className="mt-1 text-ink-2">
                {plural(streams.open, 'connection')} open, the limit is {count(streams.max)}.
              </p>
            ) : null}
            {staleSince && status !== 'live' ? (
              <p className="mt-1 text-ink-2">
                Last update: <Ago at={staleSince} />.
              </p>
            ) : null}
            <dl className="mt-3 border-t border-line pt-3 text-xs">
              <dt className="text-ink-3">Cursor</dt>
              <dd className="mt-0.5 font-mono break-all text-ink-2">
                <Cursor />
              </dd>
            </dl>
            {status === 'signed_out' ? (
              <Link
                to="/sign-in"
                search={{ to: location.href, ended: true }}
                className="mt-3 block text-accent underline"
              >
                Sign in
              </Link>
            ) : status === 'live' || status === 'catching_up' || status === 'connecting' ? null : (
              <Button className="mt-3 w-full" onClick={() => connection.retry()}>
                Try again
              </Button>
            )}
          </Popover.Content>
        </Popover.Portal>
      </Popover.Root>
      <Announcer word={status === 'stale' ? word : look.word} />
    </>
  );
}

/** Cursor of the last event. Only mounted in the open popover, because it changes with each event. */
function Cursor() {
  const { connection } = useRoomwatch();
  const cursor = useSyncExternalStore(connection.onState, () => connection.getState().cursor);
  return cursor ?? 'none';
}

/** Announces a change of state once it has lasted. The first state is not announced. */
function Announcer({ word }: { word: string }) {
  const [said, setSaid] = useState<string | null>(null);
  useEffect(() => {
    const timer = setTimeout(
      () => setSaid((before) => (before === null ? '' : `Connection: ${word}`)),
      ANNOUNCE_AFTER_MS,
    );
    return () => clearTimeout(timer);
  }, [word]);
  return (
    <span role="status" className="sr-only">
      {said}
    </span>
  );
}

/** Banner below the top bar while the data may be old: the pill alone is easily overlooked. */
export function StaleBanner() {
  const { connection } = useRoomwatch();
  const location = useLocation();
  const { status, staleSince, freshAt } = useConnectionSummary();
  if (freshAt && (status === 'live' || status === 'catching_up')) {
    return (
      <section aria-label="Connection" className="border-b border-line bg-warn-soft px-4 py-1.5 text-center text-warn">
        This node of Roomwatch has lost the others. Showing data from {shortTime(freshAt)}.
      </section>
    );
  }
  if (status !== 'stale' && status !== 'signed_out' && status !== 'too_many') return null;
  return (
    <section
      aria-label="Connection"
      className="flex flex-wrap items-center justify-center gap-x-3 gap-y-1 border-b border-line bg-warn-soft px-4 py-1.5 text-center text-warn"
    >
      <span>
        {status === 'signed_out'
          ? 'You are signed out.'
          : status === 'too_many'
            ? 'Too many open connections.'
            : 'Can’t reach Roomwatch.'}{' '}
        {staleSince ? `Showing data from ${shortTime(staleSince)}.` : 'The data may be old.'}
      </span>
      {status === 'signed_out' ? (
        <Link to="/sign-in" search={{ to: location.href, ended: true }} className="font-medium underline">
          Sign in
        </Link>
      ) : (
        <button type="button" className="font-medium underline" onClick={() => connection.retry()}>
          Try again
        </button>
      )}
    </section>
  );
}
