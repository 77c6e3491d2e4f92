import { useMe } from '@roomwatch/react';
import { Link, Outlet, useLocation, useNavigate } from '@tanstack/react-router';
import {
  Activity,
  Clock,
  Keyboard,
  LayoutGrid,
  LogOut,
  type LucideIcon,
  Monitor,
  Moon,
  Radio,
  Settings,
  Sun,
  UserRound,
} from 'lucide-react';
import { type ReactNode, useEffect, useRef } from 'react';
import { useStreamNames } from '@/events/use-stream-names';
import { PaletteHost } from '@/palette/palette-host';
import { Badge } from '@/ui/badge';
import { buttonClass } from '@/ui/button';
import { cx } from '@/ui/cx';
import { isSignedOut } from '@/ui/errors';
import { Menu, MenuChoice, MenuItem, MenuSeparator } from '@/ui/menu';
import { ErrorState } from '@/ui/states';
import { ConnectionPill, StaleBanner } from './connection-pill';
import { LiveKitBanner } from './livekit-away';
import { Logo } from './logo';
import { Shortcuts, showShortcuts, useShortcuts } from './shortcuts';
import { useSignOut } from './sign-out';
import { useTheme } from './theme';

const pages: {
  to: '/' | '/rooms' | '/sessions' | '/events' | '/settings';
  name: string;
  icon: LucideIcon;
  key: string;
}[] = [
  { to: '/', name: 'Overview', icon: Activity, key: 'o' },
  { to: '/rooms', name: 'Rooms', icon: LayoutGrid, key: 'r' },
  { to: '/sessions', name: 'Sessions', icon: Clock, key: 's' },
  { to: '/events', name: 'Events', icon: Radio, key: 'e' },
  { to: '/settings', name: 'Settings', icon: Settings, key: ',' },
];

/** Frame around every page: navigation, search, state of the stream, account. Without `children` it has the route's page. */
export function Shell({ children = <Outlet /> }: { children?: ReactNode }) {
  const me = useMe();
  const location = useLocation();
  const navigate = useNavigate();
  useStreamNames();

  useShortcuts(
    'Jump to time',
    pages.map(({ to, name, key }) => ({ keys: `g ${key}`, label: name, run: () => navigate({ to }) })),
  );

  const signedOut = isSignedOut(me.error) && !me.data;
  const { href } = location;
  const wanted = useRef(href);
  useEffect(() => {
    // The target is read once: going to the sign-in page changes the address too.
    if (signedOut) navigate({ to: '/sign-in', search: { to: wanted.current }, replace: true });
    else wanted.current = href;
  }, [signedOut, href, navigate]);
  if (signedOut) return null;

  return (
    <div className="min-h-dvh md:pl-52">
      {/* biome-ignore lint/a11y/useValidAnchor: a skip link goes to a place in the page; <base> breaks its default action */}
      <a
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          document.getElementById('main')?.focus();
        }}
        className={buttonClass('solid', 'fixed top-2 left-2 z-70 not-focus:sr-only')}
      >
        Skip to content
      </a>

      <aside className="fixed inset-y-0 left-0 z-30 flex w-52 flex-col border-r border-line bg-canvas max-md:hidden">
        <Link to="/" className="flex h-13 items-center gap-2 px-4 text-[0.9375rem] font-semibold tracking-tight">
          <Logo /> Roomwatch
        </Link>
        <nav aria-label="Pages" className="grow space-y-0.5 px-2 py-1">
          {pages.map(({ to, name, icon: Icon }) => (
            <Link
              key={to}
              to={to}
              activeOptions={{ exact: to === '/' }}
              className="flex h-8 items-center gap-2.5 rounded-md px-2.5 font-medium text-ink-2 hover:bg-hover hover:text-ink"
              activeProps={{ className: 'bg-active !text-ink' }}
            >
              <Icon size={15} aria-hidden /> {name}
            </Link>
          ))}
        </nav>
        <div className="border-t border-line p-2">
          <UserMenu align="start" className="w-full justify-start px-2.5" />
        </div>
      </aside>

      <div className="sticky top-0 z-20">
        <header className="flex h-13 items-center gap-3 border-b border-line bg-canvas/90 px-4 backdrop-blur md:px-6">
          <Link to="/" aria-label="Roomwatch" className="md:hidden">
            <Logo />
          </Link>
          <div className="min-w-0 grow">
            <PaletteHost />
          </div>
          {me.data?.demo ? (
            <Badge tone="accent" title="Simulated meetings, without a LiveKit server.">
              Demo data
            </Badge>
          ) : null}
          <ConnectionPill />
          <div className="md:hidden">
            <UserMenu align="end" compact />
          </div>
        </header>
        {me.data ? (
          <>
            <StaleBanner />
            <LiveKitBanner />
          </>
        ) : null}
      </div>

      <main id="main" tabIndex={-1} className="mx-auto max-w-350 px-4 py-5 outline-none max-md:pb-24 md:px-6">
        {me.error && !me.data ? (
          <>
            <h1 className="sr-only">Roomwatch</h1>
            <ErrorState error={me.error} title="Can’t reach Roomwatch" onRetry={() => me.refetch()} />
          </>
        ) : (
          children
        )}
      </main>

      <nav
        aria-label="Pages"
        className="fixed inset-x-0 bottom-0 z-30 grid grid-cols-5 border-t border-line bg-surface pb-[env(safe-area-inset-bottom)] md:hidden"
      >
        {pages.map(({ to, name, icon: Icon }) => (
          <Link
            key={to}
            to={to}
            activeOptions={{ exact: to === '/' }}
            className="flex h-14 flex-col items-center justify-center gap-0.5 text-[0.6875rem] font-medium text-ink-2"
            activeProps={{ className: '!text-accent' }}
          >
            <Icon size={18} aria-hidden /> {name}
          </Link>
        ))}
      </nav>

      <Shortcuts />
    </div>
  );
}

function UserMenu({ align, compact, className }: { align: 'start' | 'end'; compact?: boolean; className?: string }) {
  const { data: me } = useMe();
  const [theme, setTheme] = useTheme();
  const signOut = useSignOut();
  const who = me ? (me.kind === 'dev' ? 'Development' : me.user) : 'Account';
  return (
    <Menu
      align={align}
      trigger={
        <button type="button" className={buttonClass('ghost', cx('min-w-0', compact && 'w-8 px-0', className))}>
          <UserRound size={15} aria-hidden />
          <span className="sr-only">Account and appearance: {compact ? who : null}</span>
          {compact ? null : (
            <>
              <span className="truncate">{who}</span>
              {me?.role ? <span className="ml-auto text-xs font-normal text-ink-3">{me.role}</span> : null}
            </>
          )}
        </button>
      }
    >
      <MenuChoice
        label="Appearance"
        value={theme}
        onChange={setTheme}
        options={[
          { value: 'system', label: 'System', icon: <Monitor size={14} /> },
          { value: 'light', label: 'Light', icon: <Sun size={14} /> },
          { value: 'dark', label: 'Dark', icon: <Moon size={14} /> },
        ]}
      />
      <MenuSeparator />
      <MenuItem icon={<Keyboard size={14} />} onSelect={showShortcuts}>
        Keyboard shortcuts
      </MenuItem>
      {me?.kind === 'session' ? (
        <MenuItem icon={<LogOut size={14} />} onSelect={signOut}>
          Sign out
        </MenuItem>
      ) : null}
    </Menu>
  );
}
