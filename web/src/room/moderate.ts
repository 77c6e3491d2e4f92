import {
  type Participant,
  type Room,
  type Track,
  useDeleteRoom,
  useMe,
  useMuteTrack,
  useProjects,
  useRemoveParticipant,
} from '@roomwatch/react';
import { useConfirm } from '@/ui/confirm';
import { plural } from '@/ui/format';
import { toast } from '@/ui/toast';
import { nameOf, trackName } from './people';

/** Number of people from which ending a room asks for its name: a mistake would affect too many. */
const TYPE_NAME_FROM = 5;

/** Returns the project for a request, or undefined if there is only one project. */
export function useProjectFor(project: string): string | undefined {
  return useProjectFilter()(project);
}

function useProjectFilter(): (project: string) => string | undefined {
  const projects = useMe().data?.projects;
  return (project) => (projects && projects.length > 1 ? project : undefined);
}

/**
 * Returns what LiveKit can do for the rooms of a project: nothing can be asked without its URL (`canAsk`), and egress needs
 * presets (`offers`). A caller who may not see the project can ask.
 */
export function useOffers(project: string): { canAsk: boolean; offers: boolean } {
  const found = useProjects().data?.find(({ name }) => name === project);
  return { canAsk: found?.url !== null, offers: !!found?.egressPresets.some(({ kind }) => kind !== 'web') };
}

/** Returns the commands on rooms and participants, with the same questions and messages on every page. */
export function useModeration() {
  const confirm = useConfirm();
  const projectFor = useProjectFilter();
  const end = useDeleteRoom();
  const remove = useRemoveParticipant();
  const mute = useMuteTrack();

  return {
    ending: end.isPending,

    endRoom: async (room: Pick<Room, 'name' | 'project' | 'participantCount'>) => {
      const people = room.participantCount;
      const sure = await confirm({
        title: `End ${room.name}?`,
        body:
          people > 0
            ? `Disconnects ${plural(people, 'person', 'people')} and deletes the room. They can rejoin while their tokens are valid.`
            : 'The room is empty. LiveKit deletes it.',
        action: 'End room',
        danger: true,
        type: people >= TYPE_NAME_FROM ? room.name : undefined,
      });
      if (!sure) return;
      try {
        await end.mutateAsync({ room: room.name, project: projectFor(room.project) });
        toast.good(`Ended ${room.name}`);
      } catch (error) {
        toast.bad(error, `${room.name} was not ended`);
      }
    },

    removeParticipant: async (one: Pick<Participant, 'room' | 'project' | 'identity' | 'name' | 'sid'>) => {
      const name = nameOf(one);
      const sure = await confirm({
        title: `Remove ${name}?`,
        body: `Disconnects them from ${one.room}. They can rejoin while their token is valid.`,
        action: 'Remove',
        danger: true,
      });
      if (!sure) return;
      try {
        await remove.mutateAsync({ room: one.room, project: projectFor(one.project), identity: one.identity });
        toast.good(`Removed ${name}`);
      } catch (error) {
        toast.bad(error, `${name} was not removed`);
      }
    },

    setMuted: async (
      one: Pick<Participant, 'room' | 'project' | 'identity' | 'name' | 'sid'>,
      track: Pick<Track, 'sid' | 'source' | 'type'>,
      muted: boolean,
    ) => {
      const what = `${nameOf(one)}'s ${trackName(track)}`;
      try {
        const project = projectFor(one.project);
        await mute.mutateAsync({ room: one.room, project, identity: one.identity, trackSid: track.sid, muted });
        toast.good(`${what} is ${muted ? 'muted' : 'unmuted'}`);
      } catch (error) {
        toast.bad(error, `${what} was not ${muted ? 'muted' : 'unmuted'}`);
      }
    },
  };
}
