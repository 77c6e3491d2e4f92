import { useMe, useRooms } from '@roomwatch/react';
import { Plus } from 'lucide-react';
import { useId, useState } from 'react';
import { findRooms } from '@/palette/match';
import { refusal } from '@/shell/rights';
import { Button } from '@/ui/button';
import { Dialog } from '@/ui/dialog';
import { Input } from '@/ui/field';
import { plural } from '@/ui/format';
import { Skeleton } from '@/ui/states';
import { type ChosenRoom, keyOf, ROOMS_MAX } from './several-rooms';

/** Maximum rooms in the list. Typing finds the others. */
const LISTED_MAX = 8;

/** Adds a live room, the largest ones first. */
export function RoomPicker({ chosen, onChoose }: { chosen: ChosenRoom[]; onChoose: (room: ChosenRoom) => void }) {
  const [open, setOpen] = useState(false);
  const [typed, setTyped] = useState('');
  const id = useId();
  const me = useMe().data;
  const several = (me?.projects.length ?? 0) > 1;
  const live = useRooms().data;
  const choice = ({ name, project }: ChosenRoom): ChosenRoom => ({ name, project: several ? project : undefined });
  const taken = new Set(chosen.map(keyOf));
  const free = live?.filter((room) => !taken.has(keyOf(choice(room))) && refusal(me, 'watch', room.name) === null);
  const full = chosen.length >= ROOMS_MAX;
  const found = free ? findRooms(free, typed.trim(), LISTED_MAX) : [];
  return (
    <>
      <Button
        variant="solid"
        reason={full ? `At most ${ROOMS_MAX} rooms at a time` : null}
        onClick={() => {
          setTyped('');
          setOpen(true);
        }}
      >
        <Plus size={14} /> Add room
      </Button>
      {open ? (
        <Dialog title="Add room" onClose={() => setOpen(false)}>
          <Input
            aria-label="Find a live room"
            aria-controls={id}
            placeholder="Room name or SID"
            autoComplete="off"
            spellCheck={false}
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
          />
          {free === undefined ? (
            <Skeleton rows={3} />
          ) : (
            <ul id={id} aria-label="Live rooms" className="mt-2 space-y-0.5">
              {found.map((room) => (
                <li key={room.sid}>
                  <button
                    type="button"
                    className="flex min-h-9 w-full items-center gap-3 rounded-md px-2 text-left hover:bg-hover"
                    onClick={() => {
                      setOpen(false);
                      onChoose(choice(room));
                    }}
                  >
                    <span className="min-w-0 grow truncate font-medium">{room.name}</span>
                    <span className="num shrink-0 text-xs text-ink-2">
                      {plural(room.participantCount, 'person', 'people')}
                      {several ? ` · ${room.project}` : ''}
                    </span>
                  </button>
                </li>
              ))}
            </ul>
          )}
          {free !== undefined && found.length === 0 ? (
            <p className="mt-2 text-ink-2">{free.length === 0 ? 'No other room is live.' : 'No matching rooms.'}</p>
          ) : null}
        </Dialog>
      ) : null}
    </>
  );
}
