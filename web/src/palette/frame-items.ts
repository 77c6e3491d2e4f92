import { type Participant, type Room, useRoomwatch } from '@roomwatch/react';
import { useQuery } from '@tanstack/react-query';
import { Clock, Copy, History, Mic, MicOff, MonitorPlay, Radio, UserMinus, UserRound } from 'lucide-react';
import { useMemo } from 'react';
import { participantCommands, roomCommands } from '@/room/cli-commands';
import { nameOf, trackName } from '@/room/people';
import { refusal } from '@/shell/rights';
import { copyText } from '@/ui/clipboard';
import { toast } from '@/ui/toast';
import type { Frame, Item, Person } from './item';
import type { Actions } from './use-actions';

/** Returns the actions of the opened room or person. */
export function useFrameItems(frame: Frame | undefined, actions: Actions): Item[] {
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
  { go, openRoom, endItem, watchItem, copyItem, several }: Actions,
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
  { me, go, openRoom, openPerson, copyItem, several, moderation }: Actions,
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
  const page: Item = { id: 'page', group, icon: UserRound, title: 'Open participant', run: openPerson(person) };
  if (!person.live) return [page, sessions];
  const reason = refusal(me, 'moderate', room);
  const target = participant ?? { ...person, sid: '' };
  return [
    { id: 'open', group, icon: MonitorPlay, title: `Open ${room}`, run: openRoom(room, project) },
    page,
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
