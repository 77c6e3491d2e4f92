import { EventSource } from 'eventsource';
import { expect, vi } from 'vitest';
import { type Connection, type ConnectionEvent, createClient, createConnection, isConnected } from '../src/index';
import { atEnd } from './cleanup';
import type { TestServer } from './server';

export interface Tab {
  connection: Connection;
  events: ConnectionEvent[];
  cursors: () => string[];
  /** All EventSources. */
  sources: EventSource[];
}

export function open(server: TestServer, options: { token?: string; rooms?: string[]; start?: boolean } = {}): Tab {
  let connection: Connection | undefined;
  const client = createClient({
    url: server.url,
    token: options.token,
    onSettled: (error) => connection?.settled(error),
  });
  const sources: EventSource[] = [];
  class Counted extends EventSource {
    constructor(url: string | URL) {
      super(url);
      sources.push(this);
    }
  }
  connection = createConnection({
    client,
    rooms: options.rooms,
    EventSource: Counted as typeof globalThis.EventSource,
  });
  const events: ConnectionEvent[] = [];
  connection.onEvent((event) => events.push(event));
  if (options.start !== false) connection.start();
  atEnd(() => connection.stop());
  const cursors = () => events.filter((event) => !isConnected(event)).map(({ cursor }) => cursor);
  return { connection, events, cursors, sources };
}

export const until = (check: () => unknown) => vi.waitFor(check, { timeout: 20_000, interval: 10 });
export const status = (tab: Tab) => tab.connection.getState().status;
export const live = (tab: Tab) => until(() => expect(status(tab)).toBe('live'));

/** Fake clock that runs on, and can be advanced. */
export function clock(): void {
  vi.useFakeTimers({
    shouldAdvanceTime: true,
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'],
  });
  atEnd(() => vi.useRealTimers());
}
