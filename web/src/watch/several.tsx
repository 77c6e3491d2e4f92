import { useMe } from '@roomwatch/react';
import { getRouteApi } from '@tanstack/react-router';
import { useState } from 'react';
import { refusal, useRefusal } from '@/shell/rights';
import { Button } from '@/ui/button';
import { plural } from '@/ui/format';
import { PageHeader, Panel } from '@/ui/panel';
import { Empty } from '@/ui/states';
import { Consent } from './consent';
import { RoomPicker } from './room-picker';
import { SeveralCard } from './several-card';
import { type ChosenRoom, keyOf, ROOMS_MAX } from './several-rooms';

const route = getRouteApi('/shell/watch');

/** Page that watches up to nine rooms side by side, with the sound of one. */
export function Several() {
  const { rooms = [] } = route.useSearch();
  const navigate = route.useNavigate();
  const me = useMe().data;
  const may = useRefusal('watch');
  /** Reason for the audit log. Null before the consent: a link alone must not watch. */
  const [reason, setReason] = useState<string | null>(null);
  const [soundOf, setSoundOf] = useState<string | null>(null);

  const set = (next: ChosenRoom[]) => navigate({ search: { rooms: next }, replace: true });
  // A token is for one room: each is refused for itself.
  const refused =
    me && rooms.length > 0 ? rooms.every(({ name }) => refusal(me, 'watch', name) !== null) : me?.role === 'viewer';
  if (me && refused) {
    return (
      <Page>
        <Panel>
          <Empty title="You cannot watch rooms">{may}</Empty>
        </Panel>
      </Page>
    );
  }
  if (me?.demo) {
    return (
      <Page>
        <Panel>
          <Empty title="Nothing to watch in the demo">
            These meetings are simulated: events without a LiveKit server, video or sound.
          </Empty>
        </Panel>
      </Page>
    );
  }
  const picker = <RoomPicker chosen={rooms} onChoose={(room) => set([...rooms, room])} />;
  const without = (at: number) => set(rooms.filter((_, n) => n !== at));
  return (
    <Page actions={rooms.length > 0 ? picker : null}>
      {rooms.length === 0 ? (
        <Panel>
          <Empty title="Choose up to nine rooms" action={picker}>
            They are shown side by side, with the sound of one.
          </Empty>
        </Panel>
      ) : reason === null ? (
        <>
          <Consent
            title={`Watch ${plural(rooms.length, 'room')} invisibly`}
            onJoin={setReason}
            onClose={() => set([])}
          />
          <ul aria-label="Chosen rooms" className="flex flex-wrap gap-2">
            {rooms.map((room, at) => (
              <li key={keyOf(room)} className="flex items-center gap-2 rounded-md border border-line bg-surface pl-3">
                <span className="max-w-60 truncate font-medium">{room.name}</span>
                <Button variant="ghost" onClick={() => without(at)} aria-label={`Remove ${room.name}`}>
                  Remove
                </Button>
              </li>
            ))}
          </ul>
        </>
      ) : (
        <ul className="grid items-start gap-4 md:grid-cols-2 xl:grid-cols-3">
          {rooms.map((room, at) => (
            <SeveralCard
              key={keyOf(room)}
              room={room}
              reason={reason}
              sound={soundOf === keyOf(room)}
              onSound={(on) => setSoundOf(on ? keyOf(room) : null)}
              onBack={() => setReason(null)}
              onClose={() => without(at)}
            />
          ))}
        </ul>
      )}
    </Page>
  );
}

const Page = ({ actions, children }: { actions?: React.ReactNode; children: React.ReactNode }) => (
  <>
    <PageHeader title="Watch several rooms" actions={actions}>
      {`Side by side, at most ${ROOMS_MAX}. Each has its own audit record.`}
    </PageHeader>
    {children}
  </>
);
