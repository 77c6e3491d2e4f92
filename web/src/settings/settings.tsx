import { useMe, useProjects } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import { Monitor, Moon, Sun } from 'lucide-react';
import { basePath, serverUrl } from '@/base';
import { useRefusal } from '@/shell/rights';
import { showShortcuts } from '@/shell/shortcuts';
import { useSignOut } from '@/shell/sign-out';
import { type Theme, useTheme } from '@/shell/theme';
import { Badge } from '@/ui/badge';
import { Button, buttonClass } from '@/ui/button';
import { PageHeader, Panel } from '@/ui/panel';
import { Empty, ErrorState, Skeleton } from '@/ui/states';
import { DayTime } from '@/ui/time';
import { ProjectSettings } from './project-settings';
import { Storage } from './storage';

const themes: { value: Theme; label: string; icon: typeof Sun }[] = [
  { value: 'system', label: 'System', icon: Monitor },
  { value: 'light', label: 'Light', icon: Sun },
  { value: 'dark', label: 'Dark', icon: Moon },
];

/** Settings page: projects, appearance, account. */
export function Settings() {
  const projects = useProjects();
  const administers = useRefusal('administer') === null;
  const operates = useRefusal('attend') === null;
  return (
    <>
      <PageHeader title="Settings" />
      <div className="space-y-4">
        {projects.data ? (
          projects.data.length === 0 ? (
            <Panel>
              <Empty title="You do not have access to any project">
                You need access to every room of a project. A token needs the grant roomList.
              </Empty>
            </Panel>
          ) : (
            projects.data.map((project) => <ProjectSettings key={project.name} project={project} />)
          )
        ) : (
          <Panel flush>
            {projects.error ? (
              <ErrorState error={projects.error} onRetry={() => projects.refetch()} />
            ) : (
              <Skeleton rows={8} />
            )}
          </Panel>
        )}
        <Storage />
        <div className="grid gap-4 lg:grid-cols-2">
          <Appearance />
          <About />
        </div>
        <div className="flex flex-wrap gap-2">
          {administers ? (
            <Link to="/audit" className={buttonClass('outline')}>
              Audit record
            </Link>
          ) : null}
          {operates ? (
            <Link to="/cluster" className={buttonClass('outline')}>
              Cluster
            </Link>
          ) : null}
        </div>
      </div>
    </>
  );
}

function Appearance() {
  const [theme, setTheme] = useTheme();
  return (
    <Panel title="Appearance and keyboard">
      <fieldset>
        <legend className="mb-2 text-ink-2">Theme (this browser)</legend>
        <div className="flex flex-wrap gap-2">
          {themes.map(({ value, label, icon: Icon }) => (
            <label
              key={value}
              className="flex h-8 items-center gap-2 rounded-md border border-line-strong px-3 font-medium text-ink-2 hover:bg-hover has-checked:border-accent has-checked:bg-accent-soft has-checked:text-accent has-focus-visible:outline-2 has-focus-visible:outline-offset-1 has-focus-visible:outline-accent"
            >
              <input
                type="radio"
                name="theme"
                className="sr-only"
                checked={theme === value}
                onChange={() => setTheme(value)}
              />
              <Icon size={14} aria-hidden /> {label}
            </label>
          ))}
        </div>
      </fieldset>
      <Button className="mt-4" onClick={showShortcuts}>
        Keyboard shortcuts
      </Button>
    </Panel>
  );
}

function About() {
  const { data: me } = useMe();
  const signOut = useSignOut();
  return (
    <Panel title="About">
      <dl className="grid grid-cols-[9rem_minmax(0,1fr)] gap-x-4 gap-y-1.5">
        <dt className="text-ink-3">Roomwatch</dt>
        <dd>
          {me?.version ?? '…'} {me?.demo ? <Badge tone="accent">demo</Badge> : null}
        </dd>
        <dt className="text-ink-3">Address</dt>
        <dd className="break-all">{serverUrl}</dd>
        <dt className="text-ink-3">Signed in as</dt>
        <dd>
          {me ? (
            me.kind === 'dev' ? (
              'development mode: every user of this machine is an admin'
            ) : (
              <>
                {me.user}
                {me.role ? `, ${me.role}` : me.kind === 'token' ? ', with a LiveKit access token' : ''}
                {me.expiresAt ? (
                  <span className="text-ink-3">
                    , expires <DayTime at={me.expiresAt} />
                  </span>
                ) : null}
              </>
            )
          ) : (
            '…'
          )}
        </dd>
        <dt className="text-ink-3">API</dt>
        <dd>
          <a className="text-accent underline" href={`${basePath}/api/openapi.json`}>
            openapi.json
          </a>
        </dd>
      </dl>
      {me?.kind === 'session' ? (
        <Button className="mt-4" onClick={signOut}>
          Sign out
        </Button>
      ) : null}
    </Panel>
  );
}
