import {
  createRootRoute,
  createRoute,
  createRouter,
  type ErrorComponentProps,
  Link,
  useParams,
  useSearch,
} from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { PastFrameProps } from '@/past/frame-props';
import { ROOM_SORTS } from '@/rooms/room-sort';
import { SESSION_SORTS } from '@/sessions/session-sort';
import { FailedPage } from '@/shell/failed-page';
import { Shell } from '@/shell/shell';
import { PageHeader, Panel } from '@/ui/panel';
import { Empty, ErrorState } from '@/ui/states';
import { SPAN_NAMES } from '@/ui/when';
import { MEASURE_NAMES } from '@/usage/measures';
import { chosenRooms } from '@/watch/several-rooms';
import { basePath } from './base';
import { pageFile, partFile } from './page-file';

type Raw = Record<string, unknown>;

/** Reads a text from the address; a number too, because a room can be named 42. Anything else is ignored. */
const text = (value: unknown) =>
  typeof value === 'string' && value !== '' ? value : typeof value === 'number' ? String(value) : undefined;
/** Reads a moment of the past: a time, or a cursor. */
const moment = (raw: Raw) => ({ at: millis(raw.at) ?? text(raw.at), range: text(raw.range) });
const millis = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : undefined);
const flag = (value: unknown) => (value === true || value === 'true' ? true : undefined);
/** Reads `?wall`: the page for a screen across the room. */
const wall = (value: unknown) => (value === '' ? true : flag(value));
const oneOf = <T extends string>(value: unknown, options: readonly T[]) => options.find((option) => option === value);

/** Makes every search parameter optional: a link names only the ones it needs. */
const search =
  <T extends object>(parse: (raw: Raw) => T) =>
  (raw: Raw): { [Name in keyof T]?: T[Name] } =>
    parse(raw);

/** Page outside the shell, with its landmark and first heading. */
const Alone = ({ children }: { children: ReactNode }) => (
  <main>
    <h1 className="sr-only">Roomwatch</h1>
    {children}
  </main>
);

/** Error of the frame itself, or of the page for the sign-in, which has no frame. */
const FailedAlone = ({ error, reset }: ErrorComponentProps) => (
  <Alone>
    <ErrorState error={error} title="Something went wrong on this page" onRetry={reset} />
  </Alone>
);

const PastFrame = partFile<PastFrameProps>(async () => (await import('@/past/frame')).PastFrame);

type Page = (() => ReactNode) & { preload: () => Promise<void> | undefined };

/** Returns a page that shows the present, or with `at` in its address the past, in a frame that says so. */
function withPast(Now: Page): Page {
  function PageThen() {
    // The types of the router have this page in them, so they are not known here.
    const { at, range, project } = useSearch({ strict: false }) as Partial<Omit<PastFrameProps, 'children' | 'room'>>;
    const { room } = useParams({ strict: false }) as { room?: string };
    if (at === undefined) return <Now />;
    return (
      <PastFrame at={at} range={range} room={room} project={project}>
        <Now />
      </PastFrame>
    );
  }
  return Object.assign(PageThen, { preload: Now.preload });
}

const root = createRootRoute({
  errorComponent: FailedAlone,
  notFoundComponent: () => (
    <Shell>
      <PageHeader title="Page not found" />
      <Panel>
        <Empty
          title="There is no page at this address"
          action={
            <Link to="/" className="text-accent underline">
              To the overview
            </Link>
          }
        >
          Check the address.
        </Empty>
      </Panel>
    </Shell>
  ),
});

const shell = createRoute({
  getParentRoute: () => root,
  id: 'shell',
  component: () => <Shell />,
  errorComponent: FailedAlone,
});

const overview = createRoute({
  getParentRoute: () => shell,
  path: '/',
  validateSearch: search((raw) => ({ wall: wall(raw.wall), ...moment(raw) })),
  component: withPast(pageFile(() => import('@/overview/overview'), 'Overview')),
});

const rooms = createRoute({
  getParentRoute: () => shell,
  path: '/rooms',
  validateSearch: search((raw) => ({
    q: text(raw.q),
    project: text(raw.project),
    recording: flag(raw.recording),
    agents: flag(raw.agents),
    stale: flag(raw.stale),
    noAgents: flag(raw.noAgents),
    phone: flag(raw.phone),
    alone: flag(raw.alone),
    long: flag(raw.long),
    attention: flag(raw.attention),
    sort: oneOf(raw.sort, ROOM_SORTS),
    desc: typeof raw.desc === 'boolean' ? raw.desc : undefined,
    wall: wall(raw.wall),
    ...moment(raw),
  })),
  component: withPast(pageFile(() => import('@/rooms/rooms'), 'Rooms')),
});

const room = createRoute({
  getParentRoute: () => shell,
  path: '/rooms/$room',
  validateSearch: search((raw) => ({
    project: text(raw.project),
    /** Session of the link. The page says so if another one is live now. */
    sid: text(raw.sid),
    view: oneOf(raw.view, ['watch'] as const),
    ...moment(raw),
  })),
  component: withPast(pageFile(() => import('@/room/room'), 'RoomPage')),
});

const watch = createRoute({
  getParentRoute: () => shell,
  path: '/watch',
  validateSearch: search((raw) => ({ rooms: chosenRooms(raw.rooms) })),
  component: pageFile(() => import('@/watch/several'), 'Several'),
});

const when = (raw: Record<string, unknown>) => ({
  from: millis(raw.from),
  to: millis(raw.to),
  /** A span that ends now, instead of `from` and `to`. */
  last: oneOf(raw.last, SPAN_NAMES),
});

const sessions = createRoute({
  getParentRoute: () => shell,
  path: '/sessions',
  validateSearch: search((raw) => ({
    /** Exact names, of links. */
    room: text(raw.room),
    identity: text(raw.identity),
    roomContains: text(raw.roomContains),
    participantContains: text(raw.participantContains),
    project: text(raw.project),
    ...when(raw),
    trouble: text(raw.trouble),
    recorded: flag(raw.recorded),
    agents: flag(raw.agents),
    calls: flag(raw.calls),
    sort: oneOf(raw.sort, SESSION_SORTS),
    desc: typeof raw.desc === 'boolean' ? raw.desc : undefined,
  })),
  component: pageFile(() => import('@/sessions/sessions'), 'Sessions'),
});

const session = createRoute({
  getParentRoute: () => shell,
  path: '/sessions/$sid',
  validateSearch: search((raw) => ({
    project: text(raw.project),
    view: oneOf(raw.view, ['table'] as const),
    /** Chosen moment of the timeline in unix milliseconds, formerly `t`, and its zoom. */
    at: millis(raw.at) ?? millis(raw.t),
    zoom: millis(raw.zoom),
  })),
  component: pageFile(() => import('@/sessions/session'), 'SessionPage'),
});

const participant = createRoute({
  getParentRoute: () => shell,
  path: '/participants/$identity',
  validateSearch: search((raw) => ({ project: text(raw.project) })),
  component: pageFile(() => import('@/participant/participant'), 'ParticipantPage'),
});

const recordings = createRoute({
  getParentRoute: () => shell,
  path: '/recordings',
  validateSearch: search((raw) => ({
    room: text(raw.room),
    status: text(raw.status),
    project: text(raw.project),
    ...when(raw),
  })),
  component: pageFile(() => import('@/recordings/recordings'), 'Recordings'),
});

const calls = createRoute({
  getParentRoute: () => shell,
  path: '/calls',
  validateSearch: search((raw) => ({
    number: text(raw.number),
    room: text(raw.room),
    outcome: text(raw.outcome),
    project: text(raw.project),
    ...when(raw),
  })),
  component: pageFile(() => import('@/calls/calls'), 'Calls'),
});

const agents = createRoute({
  getParentRoute: () => shell,
  path: '/agents',
  validateSearch: search((raw) => ({ project: text(raw.project) })),
  component: pageFile(() => import('@/agents/agents'), 'Agents'),
});

const usage = createRoute({
  getParentRoute: () => shell,
  path: '/usage',
  validateSearch: search((raw) => ({
    ...when(raw),
    project: text(raw.project),
    /** `project`, or the name of a dimension. */
    by: text(raw.by),
    /** The only value of the dimension that counts. */
    only: text(raw.only),
    measure: oneOf(raw.measure, MEASURE_NAMES),
    view: oneOf(raw.view, ['table'] as const),
  })),
  component: pageFile(() => import('@/usage/usage'), 'UsagePage'),
});

const events = createRoute({
  getParentRoute: () => shell,
  path: '/events',
  validateSearch: search((raw) => ({
    room: text(raw.room),
    type: text(raw.type),
    /** Identity. */
    participant: text(raw.participant),
    project: text(raw.project),
    /** Cursor of the event around which the list is loaded. */
    at: text(raw.at),
    /** Time in unix milliseconds, and the participant or track that changed then. The page looks up the cursor. */
    t: millis(raw.t),
    sid: text(raw.sid),
  })),
  component: pageFile(() => import('@/events/events'), 'Events'),
});

const audit = createRoute({
  getParentRoute: () => shell,
  path: '/audit',
  validateSearch: search((raw) => ({
    user: text(raw.user),
    room: text(raw.room),
    project: text(raw.project),
    action: text(raw.action),
    outcome: oneOf(raw.outcome, ['started', 'done', 'refused', 'failed'] as const),
  })),
  component: pageFile(() => import('@/audit/audit'), 'Audit'),
});

const settings = createRoute({
  getParentRoute: () => shell,
  path: '/settings',
  component: pageFile(() => import('@/settings/settings'), 'Settings'),
});

const cluster = createRoute({
  getParentRoute: () => shell,
  path: '/cluster',
  component: pageFile(() => import('@/cluster/cluster'), 'Cluster'),
});

const signIn = createRoute({
  getParentRoute: () => root,
  path: '/sign-in',
  errorComponent: FailedAlone,
  validateSearch: search((raw) => ({
    to: text(raw.to),
    /** True if a login has expired: the page says so. */
    ended: flag(raw.ended),
  })),
  component: pageFile(() => import('@/shell/sign-in'), 'SignIn'),
});

export const router = createRouter({
  routeTree: root.addChildren([
    shell.addChildren([
      overview,
      rooms,
      room,
      watch,
      sessions,
      session,
      participant,
      recordings,
      calls,
      agents,
      usage,
      events,
      audit,
      settings,
      cluster,
    ]),
    signIn,
  ]),
  basepath: basePath || '/',
  defaultPreload: 'intent',
  defaultErrorComponent: FailedPage,
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
