import type { Project } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import { CircleCheck, CircleHelp, CircleSlash, KeyRound, TriangleAlert } from 'lucide-react';
import type { ReactNode } from 'react';
import { useConnectionStatus } from '@/shell/connection-status';
import { sinceText } from '@/shell/livekit-away';
import { cx } from '@/ui/cx';
import { plural, words } from '@/ui/format';
import { Unknown } from '@/ui/states';
import { Ago } from '@/ui/time';
import { explainRejection } from './rejections';

const states: Record<string, { icon: ReactNode; className: string; words: string }> = {
  ok: { icon: <CircleCheck size={14} />, className: 'text-good', words: 'Connected' },
  unreachable: { icon: <TriangleAlert size={14} />, className: 'text-bad', words: 'Unreachable' },
  unauthorized: { icon: <KeyRound size={14} />, className: 'text-bad', words: 'API key rejected' },
  unconfigured: { icon: <CircleSlash size={14} />, className: 'text-warn', words: 'No LiveKit URL set' },
  unknown: { icon: <CircleHelp size={14} />, className: 'text-ink-3', words: 'Not checked yet' },
};

/** State of LiveKit as shape, word and colour. Without colour while Roomwatch itself does not answer. */
export function ProjectState({ state }: { state: string }) {
  const look = states[state] ?? { icon: <CircleHelp size={14} />, className: 'text-ink-3', words: words(state) };
  const status = useConnectionStatus();
  const old = status === 'stale' || status === 'signed_out';
  return (
    <span className={cx('inline-flex items-center gap-1.5', old ? 'text-ink-3' : look.className)}>
      <span aria-hidden>{old ? <CircleHelp size={14} /> : look.icon}</span>
      {old ? `Last known: ${look.words}` : look.words}
    </span>
  );
}

/** Health of one project: LiveKit, its webhooks, and what the sync has found. */
export function ProjectHealth({ project }: { project: Project }) {
  const { lastRejected, corrections } = project;
  return (
    <li className="px-4 py-3">
      <div className="flex flex-wrap items-center justify-between gap-x-3">
        <Link to="/settings" className="truncate font-medium hover:underline">
          {project.name}
        </Link>
        <ProjectState state={project.state} />
      </div>
      {project.error ? <p className="mt-0.5 break-words text-xs text-bad">{project.error}</p> : null}
      <dl className="mt-2 grid grid-cols-[auto_1fr] gap-x-4 gap-y-0.5 text-xs">
        <dt className="text-ink-3">Last webhook</dt>
        <dd className="text-right text-ink-2">
          {project.lastWebhookAt ? (
            <Ago at={project.lastWebhookAt} />
          ) : (
            <Link to="/settings" className="text-accent underline">
              None received. Set up
            </Link>
          )}
        </dd>
        <dt className="text-ink-3">Last sync</dt>
        <dd className="text-right text-ink-2">
          {project.reconciledAt ? <Ago at={project.reconciledAt} /> : 'not yet'}
        </dd>
        <dt className="text-ink-3">Found by sync</dt>
        <dd className="num text-right text-ink-2">
          {project.reconciledAt === null && corrections.total === 0 ? (
            <Unknown why="Unknown before the first sync" />
          ) : (
            `${plural(corrections.total, 'event')} since ${sinceText(corrections.since)}`
          )}
        </dd>
      </dl>
      {lastRejected ? (
        <p className="mt-2 rounded-md bg-warn-soft px-2 py-1.5 text-xs break-words text-warn">
          A webhook was rejected <Ago at={lastRejected.at} />.{' '}
          {explainRejection(lastRejected.reason, lastRejected.iss).what}
        </p>
      ) : null}
    </li>
  );
}
