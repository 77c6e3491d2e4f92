import { type ComponentProps, lazy, Suspense } from 'react';

const SendData = lazy(() => import('./send-data').then((module) => ({ default: module.SendData })));

/** The dialog to send data, loaded when it opens: the first JavaScript of the room page has a limit. */
export const SendDataLater = (props: ComponentProps<typeof SendData>) => (
  <Suspense fallback={null}>
    <SendData {...props} />
  </Suspense>
);
