import { type ComponentProps, lazy, Suspense } from 'react';

// The dialogs of the room page are loaded when they open: its first JavaScript has a limit.
const EditParticipantLater = lazy(() =>
  import('./edit-participant').then((module) => ({ default: module.EditParticipant })),
);
const EditRoomLater = lazy(() => import('./edit-room').then((module) => ({ default: module.EditRoom })));
const SendDataLater = lazy(() => import('./send-data').then((module) => ({ default: module.SendData })));

export const EditParticipant = (props: ComponentProps<typeof EditParticipantLater>) => (
  <Suspense fallback={null}>
    <EditParticipantLater {...props} />
  </Suspense>
);

export const EditRoom = (props: ComponentProps<typeof EditRoomLater>) => (
  <Suspense fallback={null}>
    <EditRoomLater {...props} />
  </Suspense>
);

export const SendData = (props: ComponentProps<typeof SendDataLater>) => (
  <Suspense fallback={null}>
    <SendDataLater {...props} />
  </Suspense>
);
