import { type Room, useDeleteRoom, useMe } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import { Braces, Eye, History, MessageSquare, MoreHorizontal, Octagon, Terminal } from 'lucide-react';
import { useState } from 'react';
import { roomCommands } from '@/lib/commands';
import { plural } from '@/lib/format';
import { useRefusal } from '@/lib/rights';
import { Button, buttonClass } from '@/ui/button';
import { useConfirm } from '@/ui/confirm';
import { Menu, MenuItem, MenuLink, MenuSeparator } from '@/ui/menu';
import { toast } from '@/ui/toast';
import { CommandsDialog } from './commands-dialog';
import { EditRoom } from './edit-room';
import { SendData } from './send-data';

/** Ending a room with this many people asks for its name: a slip would be noticed by too many. */
const TYPE_NAME_FROM = 5;

/** The project for a request: only where several are watched does anybody have to name it. */
export function useProjectFor(project: string): string | undefined {
  const projects = useMe().data?.projects;
  return projects && projects.length > 1 ? project : undefined;
}

/** What can be done with the room as a whole. */
export function RoomActions({
  room,
  watching,
  onWatch,
}: {
  room: Room;
  watching: boolean;
  onWatch: (on: boolean) => void;
}) {
  const [open, setOpen] = useState<'data' | 'metadata' | 'commands' | null>(null);
  const confirm = useConfirm();
  const end = useDeleteRoom();
  const project = useProjectFor(room.project);
  const mayWatch = useRefusal('watch', room.name);
  const mayModerate = useRefusal('moderate', room.name);
  const mayEnd = useRefusal('end', room.name);
  const people = room.participantCount;

  const endRoom = async () => {
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
      await end.mutateAsync({ room: room.name, project });
      toast.good(`${room.name} is being ended`);
    } catch (error) {
      toast.bad(error, `${room.name} was not ended`);
    }
  };

  return (
    <>
      <Button
        variant={watching ? 'outline' : 'solid'}
        reason={mayWatch}
        aria-pressed={watching}
        onClick={() => onWatch(!watching)}
      >
        <Eye size={14} /> {watching ? 'Stop watching' : 'Watch'}
      </Button>
      <Button reason={mayModerate} onClick={() => setOpen('data')}>
        <MessageSquare size={14} /> Send data
      </Button>
      <Button reason={mayEnd} onClick={endRoom} disabled={end.isPending} className="!text-bad">
        <Octagon size={14} /> End room
      </Button>
      <Menu
        trigger={
          <button type="button" className={buttonClass('outline', 'w-8 px-0')} aria-label="More actions">
            <MoreHorizontal size={15} />
          </button>
        }
      >
        <MenuItem icon={<Braces size={14} />} reason={mayModerate} onSelect={() => setOpen('metadata')}>
          Edit metadata
        </MenuItem>
        <MenuItem icon={<Terminal size={14} />} onSelect={() => setOpen('commands')}>
          Copy as command
        </MenuItem>
        <MenuSeparator />
        <MenuLink>
          <Link to="/sessions" search={{ room: room.name, project: room.project }}>
            <History size={14} /> Earlier sessions
          </Link>
        </MenuLink>
      </Menu>

      {open === 'data' ? <SendData room={room} onClose={() => setOpen(null)} /> : null}
      {open === 'metadata' ? <EditRoom room={room} onClose={() => setOpen(null)} /> : null}
      {open === 'commands' ? (
        <CommandsDialog title={room.name} commands={roomCommands(room.name, project)} onClose={() => setOpen(null)} />
      ) : null}
    </>
  );
}
