// The page of tests/react-truth.test.ts. It uses the hooks as an app does, and shows their data to the test.
import { RoomwatchProvider, useConnection, useRoom, useRoomParticipants, useRooms } from '@roomwatch/react';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

const shown: Record<string, unknown> = {};
Object.assign(window, { shown });
const original = window.fetch;
Object.assign(window, { asked: [] as string[] });
window.fetch = (input, init) => {
  (window as unknown as { asked: string[] }).asked.push(String(input));
  return original(input, init);
};

/** Rooms that have ended stay on the page, because the hooks must report the end too. */
const names = new Set<string>();

function One({ name }: { name: string }) {
  const room = useRoom(name);
  const people = useRoomParticipants(name);
  shown[name] = { room: room.data, participants: people.data };
  return <li>{name}</li>;
}

function All() {
  const { data: rooms = [] } = useRooms();
  const { status, cursor } = useConnection();
  Object.assign(shown, { rooms, status, cursor });
  for (const { name } of rooms) if (names.size < 40) names.add(name);
  Object.assign(shown, { names: [...names] });
  return [...names].map((name) => <One key={name} name={name} />);
}

createRoot(document.body.appendChild(document.createElement('ul'))).render(
  <StrictMode>
    <RoomwatchProvider pollInterval={2_000}>
      <All />
    </RoomwatchProvider>
  </StrictMode>,
);
