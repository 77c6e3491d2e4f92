import { useMe } from '@roomwatch/react';
import { Link, Outlet, useLocation, useNavigate, useSearch } from '@tanstack/react-router';
import {
  Activity,
  Bot,
  ChartColumn,
  CircleDot,
  Clock,
  Ellipsis,
  Keyboard,
  LayoutGrid,
  LogOut,
  type LucideIcon,
  Monitor,
  Moon,
  Phone,
  Radio,
  ScrollText,
  Settings,
  Sun,
  UserRound,
} from 'lucide-react';
import { Fragment, type ReactNode, useEffect, useRef } from 'react';
import { useOpenConditions } from '@/attention/use-open-conditions';
import { useTabMark } from '@/attention/use-tab-mark';
import { useStreamNames } from '@/events/use-stream-names';
import { partFile } from '@/page-file';
import { PaletteHost } from '@/palette/palette-host';
import { Badge } from '@/ui/badge';
import { buttonClass } from '@/ui/button';
import { cx } from '@/ui/cx';
import { isSignedOut } from '@/ui/errors';
import { count } from '@/ui/format';
import { Menu, MenuChoice, MenuItem, MenuLink, MenuSeparator } from '@/ui/menu';
import { usePlace } from '@/ui/place';
import { ErrorState } from '@/ui/states';
import { setUtc, useUtc } from '@/ui/zone';
import { ConnectionPill, StaleBanner } from './connection-pill';
import { LiveKitBanner } from './livekit-away';
import { Logo } from './logo';
import type { PagePath } from './page-path';
import { refusal } from './rights';
import { Shortcuts, showShortcuts, useShortcuts } from './shortcuts';
import { useSignOut } from './sign-out';
import { useTheme } from './theme';

const Wall = partFile<{ page: 'overview' | 'rooms' }>(async () => (await import('@/wall/wall')).Wall);

interface NavPage {
  to: PagePath;
  name: string;
  icon: LucideIcon;
  key: string;
  /** Pages are in groups, with a space between two. */
  group: number;
  /** True for a page that has a place in the bar of a phone. The others are in its menu. */
  bar?: boolean;
}

const pages: NavPage[] = [
  { to: '/', name: 'Overview', icon: Activity, key: 'o', group: 0, bar: true },
  { to: '/rooms', name: 'Rooms', icon: LayoutGrid, key: 'r', group: 0, bar: true },
  { to: '/sessions', name: 'Sessions', icon: Clock, key: 's', group: 0, bar: true },
  { to: '/recordings', name: 'Recordings', icon: CircleDot, key: 'm', group: 1 },
  { to: '/calls', name: 'Calls', icon: Phone, key: 'c', group: 1 },
  { to: '/agents', name: 'Agents', icon: Bot, key: 'n', group: 1 },
  { to: '/usage', name: 'Usage', icon: ChartColumn, key: 'u', group: 1 },
  { to: '/events', name: 'Events', icon: Radio, key: 'e', group: 2, bar: true },
  { to: '/audit', name: 'Audit', icon: ScrollText, key: 'a', group: 2 },
  { to: '/settings', name: 'Settings', icon: Settings, key: ',', group: 2 },
];

/** Frame around every page: navigation, search, state of the stream, account. Without `children` it has the route's page. */
export function Shell({ children = <Outlet /> }: { children?: ReactNode }) {
  const me = useMe();
  const location = useLocation();
  const navigate = useNavigate();
  useStreamNames();
  const open = useOpenConditions()?.open.length ?? 0;
  const place = usePlace();
  const utc = useUtc();
  useTabMark(open);
  // Only the pages that have one take it from the address.
  const wall = (useSearch({ strict: false }) as { wall?: boolean }).wall === true;
  const visible = pages.filter(({ to }) => to !== '/audit' || refusal(me.data, 'administer') === null);

  useShortcuts(
    'Jump to time',
    (wall ? [] : visible).map(({ to, name, key }) => ({ keys: `g ${key}`, label: name, run: () => navigate({ to }) })),
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
  if (wall) {
    return (
      <Fragment key={String(utc)}>
        <Wall page={location.pathname === '/rooms' ? 'rooms' : 'overview'} />
      </Fragment>
    );
  }

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
          {visible.map(({ to, name, icon: Icon, group }, n) => (
            <Link
              key={to}
              to={to}
              search={to === '/' || to === '/rooms' ? place?.search : undefined}
              activeOptions={{ exact: to === '/', includeSearch: false }}
              className={cx(
                'flex h-8 items-center gap-2.5 rounded-md px-2.5 font-medium text-ink-2 hover:bg-hover hover:text-ink',
                n > 0 && visible[n - 1]?.group !== group && '!mt-3',
              )}
              activeProps={{ className: 'bg-active !text-ink' }}
            >
              <Icon size={15} aria-hidden /> {name}
              {to === '/' && open ? <OpenCount open={open} className="ml-auto" /> : null}
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
          // Rows keep the texts that they have: another zone needs new ones.
          <Fragment key={String(utc)}>{children}</Fragment>
        )}
      </main>

      <nav
        aria-label="Pages"
        className="fixed inset-x-0 bottom-0 z-30 grid grid-cols-5 border-t border-line bg-surface pb-[env(safe-area-inset-bottom)] md:hidden"
      >
        {visible
          .filter(({ bar }) => bar)
          .map(({ to, name, icon: Icon }) => (
            <Link
              key={to}
              to={to}
              search={to === '/' || to === '/rooms' ? place?.search : undefined}
              activeOptions={{ exact: to === '/', includeSearch: false }}
              className="flex h-14 flex-col items-center justify-center gap-0.5 text-[0.6875rem] font-medium text-ink-2"
              activeProps={{ className: '!text-accent' }}
            >
              <span className="relative">
                <Icon size={18} aria-hidden />
                {to === '/' && open ? <OpenCount open={open} className="absolute -top-1.5 left-3" /> : null}
              </span>
              {name}
            </Link>
          ))}
        <MorePages pages={visible.filter(({ bar }) => !bar)} />
      </nav>

      <Shortcuts />
    </div>
  );
}

/** Menu in the bar of a phone with the pages that have no place in it. */
function MorePages({ pages: more }: { pages: NavPage[] }) {
  const { pathname } = useLocation();
  const here = more.some(({ to }) => pathname.startsWith(to));
  return (
    <Menu
      align="end"
      trigger={
        <button
          type="button"
          className={cx(
            'flex h-14 flex-col items-center justify-center gap-0.5 text-[0.6875rem] font-medium',
            here ? 'text-accent' : 'text-ink-2',
          )}
        >
          <Ellipsis size={18} aria-hidden />
          More
        </button>
      }
    >
      {more.map(({ to, name, icon: Icon }) => (
        <MenuLink key={to}>
          <Link to={to} className="min-h-10">
            <Icon size={16} aria-hidden /> {name}
          </Link>
        </MenuLink>
      ))}
    </Menu>
  );
}

/** Number of open conditions in the navigation. */
const OpenCount = ({ open, className }: { open: number; className?: string }) => (
  <span
    className={cx(
      'num inline-flex h-4.5 min-w-4.5 items-center justify-center rounded-full bg-bad-soft px-1 text-[0.6875rem] font-semibold text-bad',
      className,
    )}
  >
    {count(open)}
    <span className="sr-only"> need attention</span>
  </span>
);

function UserMenu({ align, compact, className }: { align: 'start' | 'end'; compact?: boolean; className?: string }) {
  const { data: me } = useMe();
  const [theme, setTheme] = useTheme();
  const signOut = useSignOut();
  const utc = useUtc();
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
      <MenuChoice
        label="Times"
        value={utc ? 'utc' : 'local'}
        onChange={(zone) => setUtc(zone === 'utc')}
        options={[
          { value: 'local', label: 'Local' },
          { value: 'utc', label: 'UTC' },
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
