// The page of tests/react-tabs.test.ts: only the stream core, and the number of sources that it has opened.
import { createClient, createConnection, isConnected, type RoomwatchError } from '@roomwatch/react/core';

let opened = 0;
class Counted extends EventSource {
  constructor(url: string | URL, init?: EventSourceInit) {
    super(url, init);
    Object.assign(window, { opened: ++opened });
  }
}

const client = createClient({ onSettled: (error: RoomwatchError | null) => connection.settled(error) });
const connection = createConnection({ client, EventSource: Counted });
const cursors: string[] = [];
connection.onEvent((event) => {
  if (!isConnected(event)) cursors.push(event.cursor);
});
connection.start();
Object.assign(window, { connection, cursors, opened });
