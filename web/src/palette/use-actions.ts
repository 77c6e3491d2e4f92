import { type Room, type SearchResult, useMe } from '@roomwatch/react';
import { useNavigate } from '@tanstack/react-router';
import {
  Activity,
  Bot,
  ChartColumn,
  CircleDot,
  Clock,
  Copy,
  Crosshair,
  Eye,
  History,
  Keyboard,
  LayoutGrid,
  LogOut,
  type LucideIcon,
  MicOff,
  Monitor,
  MonitorPlay,
  MonitorUp,
  Moon,
  Octagon,
  Phone,
  Radio,
  ScrollText,
  Server,
  Settings,
  Sun,
  UserMinus,
  UserRound,
} from 'lucide-react';
import { useMemo, useRef } from 'react';
import type { CliCommand } from '@/room/cli-commands';
import { useModeration } from '@/room/moderate';
import type { PagePath } from '@/shell/page-path';
import { refusal } from '@/shell/rights';
import { showShortcuts } from '@/shell/shortcuts';
import { useSignOut } from '@/shell/sign-out';
import { useTheme } from '@/shell/theme';
import { copyText } from '@/ui/clipboard';
import { plural } from '@/ui/format';
import { visible } from '@/ui/person-name';
import { toast } from '@/ui/toast';
import type { Item, Person } from './item';
import { findRooms, type Verb } from './match';

/** Maximum items of each group. */
export const ROOMS_MAX = 8;
const PEOPLE_MAX = 8;
const SESSIONS_MAX = 6;

export type Actions = ReturnType<typeof useActions>;

/** Returns the items of the palette, made from rooms, search results and commands. */
export function useActions() {
  const navigate = useNavigate();
  const { data: me } = useMe();
  const moderation = useModeration();
  const signOut = useSignOut();
  const [theme, setTheme] = useTheme();
  const latest = useRef({ navigate, moderation, signOut, setTheme });
  latest.current = { navigate, moderation, signOut, setTheme };

  return useMemo(() => {
    const go: typeof navigate = (to) => latest.current.navigate(to);
    const several = (me?.projects.length ?? 0) > 1;
    const where = (project: string) => (several ? ` · ${project}` : '');

    const openRoom = (room: string, project: string, view?: 'watch') => () =>
      void go({ to: '/rooms/$room', params: { room }, search: { project, view } });
    const openPerson =
      ({ identity, project }: Pick<Person, 'identity' | 'project'>) =>
      () =>
        void go({ to: '/participants/$identity', params: { identity }, search: { project } });
    const personOf = ({ project, room, identity, name, live: there }: SearchResult): Person => ({
      project,
      room: room ?? '',
      identity: identity ?? '',
      name: name ?? '',
      live: there,
    });

    const roomItem = (room: Room): Item => ({
      id: `room-${room.sid}`,
      group: 'Live rooms',
      icon: MonitorPlay,
      title: room.name,
      detail: `${plural(room.participantCount, 'person', 'people')}${where(room.project)}`,
      run: openRoom(room.name, room.project),
      more: { title: room.name, room },
    });
    const endItem = (room: Pick<Room, 'name' | 'project' | 'participantCount' | 'sid'>, group: string): Item => ({
      id: `end-${room.sid}`,
      group,
      icon: Octagon,
      title: `End ${room.name}`,
      detail: `${plural(room.participantCount, 'person', 'people')}${where(room.project)}`,
      danger: true,
      reason: refusal(me, 'end', room.name),
      run: () => void latest.current.moderation.endRoom(room),
    });
    const watchItem = (room: Pick<Room, 'name' | 'project' | 'sid'>, group: string): Item => ({
      id: `watch-${room.sid}`,
      group,
      icon: Eye,
      title: `Watch ${room.name}`,
      reason: refusal(me, 'watch', room.name),
      run: openRoom(room.name, room.project, 'watch'),
    });
    const personItem = (person: Person): Item => ({
      // All past stays of one identity are one item.
      id: `person-${person.project}-${person.identity}-${person.live ? person.room : ''}`,
      group: person.live ? 'Live participants' : 'Past participants',
      icon: UserRound,
      title: visible(person.name || person.identity),
      detail: `${person.name ? `${visible(person.identity)} · ` : ''}${person.room}${where(person.project)}`,
      // Their page says where they are now. The room is the first action behind Tab.
      run: openPerson(person),
      more: { title: visible(person.name || person.identity), person },
    });
    const copyItem = (command: CliCommand, tool: 'lk' | 'curl'): Item[] => {
      const text = command[tool];
      return text === null
        ? []
        : [
            {
              id: `copy-${tool}-${command.label}`,
              group: 'Copy CLI command',
              icon: Copy,
              title: `${tool}: ${command.label}`,
              run: async () => {
                if (await copyText(text)) toast.good('Copied');
                else toast.bad(new Error('This browser does not allow copying'));
              },
            },
          ];
    };

    const page = (to: PagePath, title: string, icon: LucideIcon, detail?: string): Item => ({
      id: `page-${title}`,
      group: 'Pages',
      icon,
      title,
      detail,
      run: () => void go({ to }),
    });
    const commands: Item[] = [
      page('/', 'Overview', Activity),
      page('/rooms', 'Rooms', LayoutGrid),
      page('/sessions', 'Sessions', Clock),
      page('/recordings', 'Recordings', CircleDot, 'egress, streams'),
      page('/calls', 'Calls', Phone, 'SIP'),
      page('/agents', 'Agents', Bot),
      page('/usage', 'Usage', ChartColumn, 'minutes, peaks'),
      page('/events', 'Events', Radio),
      ...(refusal(me, 'administer') === null ? [page('/audit', 'Audit', ScrollText)] : []),
      page('/settings', 'Settings', Settings),
      ...(refusal(me, 'attend') === null ? [page('/cluster', 'Cluster', Server, 'nodes, NATS')] : []),
      ...(refusal(me, 'watch') === null ? [page('/watch', 'Watch several rooms', Eye)] : []),
      {
        id: 'wall',
        group: 'Commands',
        icon: MonitorUp,
        title: 'Show the overview on a wall',
        run: () => void go({ to: '/', search: { wall: true } }),
      },
      { id: 'end', group: 'Commands', icon: Octagon, title: 'End a room…', types: 'end ' },
      { id: 'watch', group: 'Commands', icon: Eye, title: 'Watch a room…', types: 'watch ' },
      { id: 'remove', group: 'Commands', icon: UserMinus, title: 'Remove participant…', types: 'remove ' },
      { id: 'mute', group: 'Commands', icon: MicOff, title: 'Mute participant…', types: 'mute ' },
      ...(
        [
          ['system', 'System', Monitor],
          ['light', 'Light', Sun],
          ['dark', 'Dark', Moon],
        ] as const
      )
        .filter(([value]) => value !== theme)
        .map(
          ([value, name, icon]): Item => ({
            id: `theme-${value}`,
            group: 'Commands',
            icon,
            title: `Theme: ${name}`,
            run: () => latest.current.setTheme(value),
          }),
        ),
      { id: 'shortcuts', group: 'Commands', icon: Keyboard, title: 'Keyboard shortcuts', run: showShortcuts },
      ...(me?.kind === 'session'
        ? [
            {
              id: 'sign-out',
              group: 'Commands',
              icon: LogOut,
              title: 'Sign out',
              run: () => void latest.current.signOut(),
            },
          ]
        : []),
    ];

    return {
      me,
      several,
      commands,
      endItem,
      watchItem,
      copyItem,
      openRoom,
      openPerson,
      go,
      moderation: () => latest.current.moderation,
      event: (cursor: string): Item => ({
        id: `event-${cursor}`,
        group: 'Events',
        icon: Crosshair,
        title: `Go to event ${cursor}`,
        run: () => void go({ to: '/events', search: { at: cursor } }),
      }),
      rooms: (list: Room[]) => list.map(roomItem),
      /** Items for participants and past sessions, which the live list does not have. */
      found: (results: SearchResult[]): Item[] => {
        const people = results
          .filter((one) => (one.kind === 'identity' || one.kind === 'participant') && one.identity)
          .map((one) => personItem(personOf(one)));
        const past = results
          .filter((one) => one.sid && (one.kind === 'session' || (one.kind === 'room' && !one.live)))
          .map(
            (one): Item => ({
              id: `session-${one.sid}`,
              group: 'Sessions',
              icon: History,
              title: one.room ?? String(one.sid),
              detail: `${one.live ? 'live' : 'ended'} · ${one.sid}${where(one.project)}`,
              run: () =>
                void go({ to: '/sessions/$sid', params: { sid: String(one.sid) }, search: { project: one.project } }),
            }),
          );
        const ids = new Set<string>();
        const once = (item: Item) => !ids.has(item.id) && ids.add(item.id);
        return [
          ...people
            .filter(once)
            .sort((a, b) => a.group.localeCompare(b.group))
            .slice(0, PEOPLE_MAX),
          ...past.filter(once).slice(0, SESSIONS_MAX),
        ];
      },
      verb: (verb: Verb, text: string, live: Room[], results: SearchResult[]): Item[] => {
        if (verb === 'end') return findRooms(live, text, ROOMS_MAX).map((room) => endItem(room, 'End a room'));
        if (verb === 'watch') return findRooms(live, text, ROOMS_MAX).map((room) => watchItem(room, 'Watch a room'));
        return results
          .filter((one) => one.live && one.identity && one.room)
          .slice(0, PEOPLE_MAX)
          .map((one) => {
            const person = personOf(one);
            return {
              ...personItem(person),
              group: verb === 'mute' ? 'Mute participant' : 'Remove participant',
              ...(verb === 'mute'
                ? { run: undefined, enters: { title: visible(person.name || person.identity), person } }
                : {
                    danger: true,
                    icon: UserMinus,
                    title: `Remove ${visible(person.name || person.identity)}`,
                    reason: refusal(me, 'moderate', person.room),
                    run: () => void latest.current.moderation.removeParticipant({ ...person, sid: one.sid ?? '' }),
                  }),
            };
          });
      },
    };
  }, [me, theme]);
}
