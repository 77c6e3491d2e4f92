import { type Participant, type Room, type SearchResult, useMe, useRoomwatch } from '@roomwatch/react';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import {
  Activity,
  Clock,
  Copy,
  Crosshair,
  Eye,
  History,
  Keyboard,
  LayoutGrid,
  LogOut,
  type LucideIcon,
  Mic,
  MicOff,
  Monitor,
  MonitorPlay,
  Moon,
  Octagon,
  Radio,
  Settings,
  Sun,
  UserMinus,
  UserRound,
} from 'lucide-react';
import { useMemo, useRef } from 'react';
import { type CliCommand, participantCommands, roomCommands } from '@/room/cli-commands';
import { useModeration } from '@/room/moderate';
import { nameOf, trackName } from '@/room/people';
import { refusal } from '@/shell/rights';
import { showShortcuts } from '@/shell/shortcuts';
import { useSignOut } from '@/shell/sign-out';
import { useTheme } from '@/shell/theme';
import { copyText } from '@/ui/clipboard';
import { plural } from '@/ui/format';
import { toast } from '@/ui/toast';
import { best, findRooms, readQuery, type Verb } from './match';

const ROOMS_MAX = 8;
const PEOPLE_MAX = 8;
const SESSIONS_MAX = 6;

/** A participant, as a search knows them. */
export interface Person {
  project: string;
  room: string;
  identity: string;
  name: string;
  live: boolean;
}

/** The opened room or person, whose actions are listed. */
export type Frame = { title: string } & (
  | { room: Pick<Room, 'project' | 'name' | 'sid' | 'participantCount'> }
  | { person: Person }
);

export interface Item {
  id: string;
  group: string;
  icon: LucideIcon;
  title: string;
  detail?: string;
  danger?: boolean;
  /** Reason why the item is disabled. */
  reason?: string | null;
  /** Exactly one of these three. */
  run?: () => void;
  enters?: Frame;
  types?: string;
  /** More actions, opened by Tab. */
  more?: Frame;
}

interface Asked {
  query: string;
  frame: Frame | undefined;
  rooms: Room[];
  /** Results of the server; undefined without a search. */
  found: SearchResult[] | undefined;
}

/** Returns the items of the palette for a query. */
export function usePaletteItems({ query, frame, rooms, found }: Asked): Item[] {
  const actions = useActions();
  const latest = useRef(rooms);
  latest.current = rooms;
  const hasRooms = rooms.length > 0;
  const root = useMemo(() => {
    if (frame) return [];
    // Read through a ref: the list stands still until something is typed or found, or the first rooms arrive.
    const now = hasRooms ? latest.current : [];
    const { verb, text, cursor } = readQuery(query);
    if (verb) return actions.verb(verb, text, now, found ?? []);
    return [
      ...(cursor ? [actions.event(cursor)] : []),
      ...actions.rooms(findRooms(now, text, text === '' ? 5 : ROOMS_MAX)),
      ...actions.found(found ?? []),
      ...best(actions.commands, (item) => `${item.title} ${item.detail ?? ''}`, text, 30),
    ];
  }, [query, frame, found, hasRooms, actions]);
  const inside = useFrameItems(frame, actions);
  return frame ? best(inside, (item) => item.title, query, 40) : root;
}

function useActions() {
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
      // All past stays of one identity are one item, which links to their sessions.
      id: `person-${person.project}-${person.identity}-${person.live ? person.room : ''}`,
      group: person.live ? 'Live participants' : 'Past participants',
      icon: UserRound,
      title: person.name || person.identity,
      detail: `${person.name ? `${person.identity} · ` : ''}${person.room}${where(person.project)}`,
      run: person.live
        ? openRoom(person.room, person.project)
        : () => void go({ to: '/sessions', search: { identity: person.identity, project: person.project } }),
      more: { title: person.name || person.identity, person },
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

    const page = (
      to: '/' | '/rooms' | '/sessions' | '/events' | '/settings',
      title: string,
      icon: LucideIcon,
    ): Item => ({
      id: `page-${title}`,
      group: 'Pages',
      icon,
      title,
      run: () => void go({ to }),
    });
    const commands: Item[] = [
      page('/', 'Overview', Activity),
      page('/rooms', 'Rooms', LayoutGrid),
      page('/sessions', 'Sessions', Clock),
      page('/events', 'Events', Radio),
      page('/settings', 'Settings', Settings),
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
                ? { run: undefined, enters: { title: person.name || person.identity, person } }
                : {
                    danger: true,
                    icon: UserMinus,
                    title: `Remove ${person.name || person.identity}`,
                    reason: refusal(me, 'moderate', person.room),
                    run: () => void latest.current.moderation.removeParticipant({ ...person, sid: one.sid ?? '' }),
                  }),
            };
          });
      },
    };
  }, [me, theme]);
}

/** Returns the actions of the opened room or person. */
function useFrameItems(frame: Frame | undefined, actions: ReturnType<typeof useActions>): Item[] {
  const { client } = useRoomwatch();
  const person = frame && 'person' in frame && frame.person.live ? frame.person : null;
  // The tracks, for muting. Fetched once, on opening.
  const { data } = useQuery({
    queryKey: ['palette', 'participants', person?.project, person?.room],
    queryFn: ({ signal }) => client.participants({ room: person?.room ?? '', project: person?.project }, signal),
    enabled: person !== null,
    staleTime: 2_000,
  });
  const participant = data?.participants.find((one) => one.identity === person?.identity);
  return useMemo(() => {
    if (!frame) return [];
    return 'room' in frame ? roomItems(frame.room, actions) : personItems(frame.person, participant, actions);
  }, [frame, participant, actions]);
}

function roomItems(
  room: Pick<Room, 'project' | 'name' | 'sid' | 'participantCount'>,
  { go, openRoom, endItem, watchItem, copyItem, several }: ReturnType<typeof useActions>,
): Item[] {
  const group = room.name;
  const commands = roomCommands(room.name, several ? room.project : undefined);
  const search = { room: room.name, project: room.project };
  return [
    { id: 'open', group, icon: MonitorPlay, title: 'Open', run: openRoom(room.name, room.project) },
    watchItem(room, group),
    { id: 'events', group, icon: Radio, title: 'View events', run: () => void go({ to: '/events', search }) },
    {
      id: 'session',
      group,
      icon: History,
      title: 'Session timeline',
      run: () => void go({ to: '/sessions/$sid', params: { sid: room.sid }, search: { project: room.project } }),
    },
    { id: 'sessions', group, icon: Clock, title: 'Earlier sessions', run: () => void go({ to: '/sessions', search }) },
    endItem(room, group),
    ...copySid(room.sid),
    ...commands.flatMap((command) => copyItem(command, 'lk')),
    ...commands.flatMap((command) => copyItem(command, 'curl')),
  ];
}

function personItems(
  person: Person,
  participant: Participant | undefined,
  { me, go, openRoom, copyItem, several, moderation }: ReturnType<typeof useActions>,
): Item[] {
  const group = nameOf({ ...person, sid: '' });
  const { project, room, identity } = person;
  const sessions: Item = {
    id: 'sessions',
    group,
    icon: Clock,
    title: 'Sessions with this participant',
    run: () => void go({ to: '/sessions', search: { identity, project } }),
  };
  if (!person.live) return [sessions];
  const reason = refusal(me, 'moderate', room);
  const target = participant ?? { ...person, sid: '' };
  return [
    { id: 'open', group, icon: MonitorPlay, title: `Open ${room}`, run: openRoom(room, project) },
    ...(participant?.tracks ?? [])
      .filter((track) => track.type !== 'data')
      .map(
        (track): Item => ({
          id: `mute-${track.sid}`,
          group,
          icon: track.muted ? Mic : MicOff,
          title: `${track.muted ? 'Unmute' : 'Mute'} ${trackName(track)}`,
          reason,
          run: () => void moderation().setMuted(target, track, !track.muted),
        }),
      ),
    sessions,
    {
      id: 'remove',
      group,
      icon: UserMinus,
      title: `Remove from ${room}`,
      danger: true,
      reason,
      run: () => void moderation().removeParticipant(target),
    },
    ...(participant ? copySid(participant.sid) : []),
    ...participantCommands(room, identity, several ? project : undefined).flatMap((command) => [
      ...copyItem(command, 'lk'),
      ...copyItem(command, 'curl'),
    ]),
  ];
}

const copySid = (sid: string): Item[] => [
  {
    id: 'copy-sid',
    group: 'Copy',
    icon: Copy,
    title: `Copy ${sid}`,
    run: async () => {
      if (await copyText(sid)) toast.good('Copied');
      else toast.bad(new Error('This browser does not allow copying'));
    },
  },
];
