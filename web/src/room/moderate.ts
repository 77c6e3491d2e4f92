import {
  type Participant,
  type Room,
  type Track,
  useDeleteRoom,
  useMe,
  useMuteTrack,
  useRemoveParticipant,
} from '@roomwatch/react';
import { useConfirm } from '@/ui/confirm';
import { plural } from '@/ui/format';
import { toast } from '@/ui/toast';
import { nameOf, trackName } from './people';

/** Ending a room with this many people asks for its name: a slip would be noticed by too many. */
const TYPE_NAME_FROM = 5;

/** The project for a request: only where several are watched does anybody have to name it. */
export function useProjectFor(project: string): string | undefined {
  return useProjects()(project);
}

function useProjects(): (project: string) => string | undefined {
  const projects = useMe().data?.projects;
  return (project) => (projects && projects.length > 1 ? project : undefined);
}

/** What is done to rooms and people, asked for and answered in the same words wherever it is begun. */
export function useModeration() {
  const confirm = useConfirm();
  const projectFor = useProjects();
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
            ? `LiveKit disconnects ${plural(people, 'person', 'people')} at once and closes the room. This cannot be undone; they can start it again by joining.`
            : 'Nobody is in it. LiveKit closes the room.',
        action: 'End room',
        danger: true,
        type: people >= TYPE_NAME_FROM ? room.name : undefined,
      });
      if (!sure) return;
      try {
        await end.mutateAsync({ room: room.name, project: projectFor(room.project) });
        toast.good(`${room.name} is being ended`);
      } catch (error) {
        toast.bad(error, `${room.name} was not ended`);
      }
    },

    removeParticipant: async (one: Pick<Participant, 'room' | 'project' | 'identity' | 'name' | 'sid'>) => {
      const name = nameOf(one);
      const sure = await confirm({
        title: `Remove ${name}?`,
        body: `They are disconnected from ${one.room} at once. They can join again as long as their token is valid.`,
        action: 'Remove',
        danger: true,
      });
      if (!sure) return;
      try {
        await remove.mutateAsync({ room: one.room, project: projectFor(one.project), identity: one.identity });
        toast.good(`${name} is being removed`);
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
