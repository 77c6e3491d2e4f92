import type { Room } from '@roomwatch/react';
import { Link } from '@tanstack/react-router';
import {
  Bot,
  Braces,
  CircleDot,
  Eye,
  History,
  LayoutGrid,
  MessageSquare,
  MoreHorizontal,
  Octagon,
  Terminal,
} from 'lucide-react';
import { useState } from 'react';
import { partFile } from '@/page-file';
import { useRefusal } from '@/shell/rights';
import { Button, buttonClass } from '@/ui/button';
import { Menu, MenuItem, MenuLink, MenuSeparator } from '@/ui/menu';
import { useModeration, useOffers, useProjectFor } from './moderate';

const SendData = partFile(async () => (await import('./send-data')).SendData);
const DispatchAgent = partFile(async () => (await import('./dispatch-agent')).DispatchAgent);
const StartEgress = partFile(async () => (await import('@/recordings/start-egress')).StartEgress);
const EditRoom = partFile(async () => (await import('./edit-room')).EditRoom);
const Commands = partFile(async () => (await import('./commands-dialog')).RoomCommands);

/** Padding with which all buttons fit on the smallest phone. */
const NARROW = 'max-[24rem]:px-2';

/** Actions on the room. */
export function RoomActions({
  room,
  watching,
  onWatch,
}: {
  room: Room;
  watching: boolean;
  onWatch: (on: boolean) => void;
}) {
  const [open, setOpen] = useState<'data' | 'dispatch' | 'record' | 'metadata' | 'commands' | null>(null);
  const { endRoom, ending } = useModeration();
  const project = useProjectFor(room.project);
  const { canAsk, offers } = useOffers(room.project);
  const mayRecord = useRefusal('record');
  const mayWatch = useRefusal('watch', room.name);
  const mayModerate = useRefusal('moderate', room.name);
  const mayEnd = useRefusal('end', room.name);

  return (
    <>
      <Button
        variant={watching ? 'outline' : 'solid'}
        className={NARROW}
        reason={watching ? null : mayWatch}
        aria-pressed={watching}
        onClick={() => onWatch(!watching)}
      >
        <Eye size={14} /> {watching ? 'Stop watching' : 'Watch'}
      </Button>
      <Button className={NARROW} reason={mayModerate} onClick={() => setOpen('data')}>
        <MessageSquare size={14} /> Send data
      </Button>
      <Button reason={mayEnd} onClick={() => endRoom(room)} disabled={ending} className={`!text-bad ${NARROW}`}>
        <Octagon size={14} /> End room
      </Button>
      <Menu
        trigger={
          <button type="button" className={buttonClass('outline', 'w-8 px-0')} aria-label="More actions">
            <MoreHorizontal size={15} />
          </button>
        }
      >
        {offers ? (
          <MenuItem icon={<CircleDot size={14} />} reason={mayRecord} onSelect={() => setOpen('record')}>
            Record or stream
          </MenuItem>
        ) : null}
        {canAsk ? (
          <MenuItem icon={<Bot size={14} />} reason={mayModerate} onSelect={() => setOpen('dispatch')}>
            Dispatch an agent
          </MenuItem>
        ) : null}
        <MenuItem icon={<Braces size={14} />} reason={mayModerate} onSelect={() => setOpen('metadata')}>
          Edit metadata
        </MenuItem>
        <MenuItem icon={<Terminal size={14} />} onSelect={() => setOpen('commands')}>
          Copy CLI command
        </MenuItem>
        <MenuSeparator />
        {mayWatch === null ? (
          <MenuLink>
            <Link to="/watch" search={{ rooms: [{ name: room.name, project }] }}>
              <LayoutGrid size={14} /> Watch beside other rooms
            </Link>
          </MenuLink>
        ) : null}
        <MenuLink>
          <Link to="/sessions" search={{ room: room.name, project: room.project }}>
            <History size={14} /> Earlier sessions
          </Link>
        </MenuLink>
      </Menu>

      {open === 'data' ? <SendData room={room} onClose={() => setOpen(null)} /> : null}
      {open === 'dispatch' ? <DispatchAgent room={room} onClose={() => setOpen(null)} /> : null}
      {open === 'record' ? <StartEgress project={room.project} room={room.name} onClose={() => setOpen(null)} /> : null}
      {open === 'metadata' ? <EditRoom room={room} onClose={() => setOpen(null)} /> : null}
      {open === 'commands' ? <Commands room={room.name} project={project} onClose={() => setOpen(null)} /> : null}
    </>
  );
}
