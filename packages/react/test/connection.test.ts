import { describe, expect, it, vi } from 'vitest';
import { createClient } from '../src/index';
import { fail, room, set, TestServer } from './server';
import { clock, live, open, status, until } from './tab';

const standup = room('standup');

describe('the stream', () => {
  it('starts at the head and delivers each event once, in order', async () => {
    const server = await TestServer.start();
    server.publish('room_started', standup, set(standup));
    const tab = open(server);
    await live(tab);
    expect(tab.events).toEqual([{ type: 'connected', cursor: '7f3a9c21-1', resumed: false }]);
    server.publish('participant_joined', standup);
    server.publish('participant_left', standup);
    await until(() => expect(tab.cursors()).toEqual(['7f3a9c21-2', '7f3a9c21-3']));
    await until(() => expect(tab.connection.getState().cursor).toBe('7f3a9c21-3'));
  });

  it('resumes after a break, and onerror never closes the source', async () => {
    const server = await TestServer.start();
    const tab = open(server);
    await live(tab);
    for (let round = 1; round <= 3; round++) {
      server.publish('participant_joined', standup);
      await until(() => expect(tab.cursors()).toHaveLength(2 * round - 1));
      server.cut();
      server.publish('participant_left', standup);
      await until(() => expect(tab.cursors()).toHaveLength(2 * round));
    }
    expect(tab.cursors()).toEqual([1, 2, 3, 4, 5, 6].map((seq) => server.cursor(seq)));
    expect(server.opened.map(({ lastEventId }) => lastEventId)).toEqual([
      null,
      '7f3a9c21-1',
      '7f3a9c21-3',
      '7f3a9c21-5',
    ]);
    expect(tab.sources).toHaveLength(1);
    expect(server.count('GET /api/me')).toBe(0);
  });

  it('survives a restart of the server on the same source', async () => {
    const server = await TestServer.start();
    const tab = open(server);
    await live(tab);
    server.publish('participant_joined', standup);
    await until(() => expect(tab.cursors()).toHaveLength(1));
    await server.close();
    server.publish('participant_left', standup);
    await server.listen();
    await until(() => expect(tab.cursors()).toEqual([server.cursor(1), server.cursor(2)]));
    expect(tab.sources).toHaveLength(1);
  });

  it('asks for the reason of a closed source, and opens another with the cursor', async () => {
    const server = await TestServer.start();
    const tab = open(server);
    await live(tab);
    server.publish('participant_joined', standup);
    await until(() => expect(tab.cursors()).toHaveLength(1));
    server.refuse = fail(503, 'draining');
    server.cut();
    await until(() => expect(server.count('GET /api/me')).toBeGreaterThan(0));
    server.publish('participant_left', standup);
    server.refuse = null;
    await until(() => expect(tab.cursors()).toEqual([server.cursor(1), server.cursor(2)]));
    expect(tab.sources.length).toBeGreaterThan(1);
    expect(server.opened.at(-1)?.after).toBe(server.cursor(1));
  });

  it('is signed out after 401, waits, and is back after a sign-in', async () => {
    const server = await TestServer.start();
    const tab = open(server);
    await live(tab);
    server.publish('participant_joined', standup);
    server.refuse = fail(401, 'unauthorized');
    server.me = fail(401, 'unauthorized');
    server.cut();
    await until(() => expect(status(tab)).toBe('signed_out'));
    const opened = server.opened.length;
    server.publish('participant_left', standup);
    server.refuse = null;
    server.me = { status: 200, body: server.meOf(0) };
    expect(server.opened.length).toBe(opened);
    tab.connection.retry();
    await live(tab);
    await until(() => expect(tab.cursors()).toEqual([server.cursor(1), server.cursor(2)]));
  });

  it('reports the open streams of the user, and tries again on retry', async () => {
    const server = await TestServer.start();
    server.refuse = fail(429, 'too_many_connections', { 'retry-after': '5' });
    server.me = { status: 200, body: server.meOf(5) };
    const tab = open(server);
    await until(() => expect(status(tab)).toBe('too_many'));
    expect(tab.connection.getState().streams).toEqual({ open: 5, max: 5 });
    server.refuse = null;
    tab.connection.retry();
    await live(tab);
    expect(tab.connection.getState().streams).toBeNull();
  });

  it('reports a reset and continues from the head', async () => {
    const server = await TestServer.start();
    const tab = open(server);
    await live(tab);
    server.publish('participant_joined', standup);
    await until(() => expect(tab.cursors()).toHaveLength(1));
    server.restore();
    server.cut();
    await until(() =>
      expect(tab.events).toContainEqual({
        type: 'connected',
        cursor: '00c0ffee-0',
        resumed: false,
        reset: 'unknown_epoch',
      }),
    );
    server.publish('room_started', standup);
    await until(() => expect(tab.cursors()).toEqual(['7f3a9c21-1', '00c0ffee-1']));
  });

  it('reopens a line that was silent for 45 s, as after sleep', async () => {
    clock();
    const server = await TestServer.start();
    const tab = open(server);
    await live(tab);
    server.publish('participant_joined', standup);
    await until(() => expect(tab.cursors()).toHaveLength(1));
    vi.advanceTimersByTime(30_000);
    server.ping();
    await until(() => expect(tab.connection.getState().cursor).toBe(server.cursor(2)));
    await vi.advanceTimersByTimeAsync(30_000);
    expect(tab.sources).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(21_000);
    await until(() => expect(tab.sources).toHaveLength(2));
    server.publish('participant_left', standup);
    await until(() => expect(tab.cursors()).toEqual([server.cursor(1), server.cursor(3)]));
    expect(server.opened[1]?.after).toBe(server.cursor(2));
  });

  it('moves the cursor with pings, for a filter with few matches', async () => {
    const server = await TestServer.start();
    const tab = open(server, { rooms: ['standup', 'retro'] });
    await live(tab);
    expect(server.opened[0]?.query.getAll('room')).toEqual(['standup', 'retro']);
    for (let n = 0; n < 40; n++) server.ping();
    await until(() => expect(tab.connection.getState().cursor).toBe(server.cursor(40)));
    expect(tab.cursors()).toEqual([]);
  });

  it('closes after a bye with expired rights, and asks for the reason', async () => {
    const server = await TestServer.start();
    const tab = open(server);
    await live(tab);
    server.me = fail(401, 'unauthorized');
    for (const stream of server.streams) stream.raw('event: bye\ndata: {"reason":"expired"}\n\n');
    await until(() => expect(status(tab)).toBe('signed_out'));
    await until(() => expect(server.streams.size).toBe(0));
  });

  it('lets the browser reconnect after a bye with drain', async () => {
    const server = await TestServer.start();
    const tab = open(server);
    await live(tab);
    for (const stream of server.streams) {
      stream.raw('event: bye\ndata: {"reason":"drain"}\n\n');
      stream.end();
    }
    await until(() => expect(server.opened).toHaveLength(2));
    await live(tab);
    expect(tab.sources).toHaveLength(1);
    expect(server.count('GET /api/me')).toBe(0);
  });

  it('is stale without answers, polling while requests are answered, and live again', async () => {
    const server = await TestServer.start();
    const tab = open(server);
    await live(tab);
    await server.close();
    await until(() => expect(status(tab)).toBe('connecting'));
    expect(tab.connection.getState().staleSince).not.toBeNull();
    // The page asks nothing: the connection finds out by itself.
    await until(() => expect(status(tab)).toBe('stale'));
    const client = createClient({ url: server.url, onSettled: tab.connection.settled });
    server.refuse = { status: 200, headers: { 'content-type': 'text/html' } }; // A proxy that has no idea of streams.
    await server.listen();
    await client.rooms();
    expect(status(tab)).toBe('polling');
    server.refuse = null;
    tab.connection.retry();
    await live(tab);
    expect(tab.connection.getState().staleSince).toBeNull();
  });

  it('says since when a node is out of touch with the others, until a heartbeat says otherwise', async () => {
    const server = await TestServer.start();
    const tab = open(server);
    await live(tab);
    expect(tab.connection.getState().freshAt).toBeNull();
    server.ping({ stale: true, freshAt: 1_787_486_406_123 });
    await until(() => expect(tab.connection.getState().freshAt).toBe(1_787_486_406_123));
    expect(status(tab)).toBe('live');
    server.ping();
    await until(() => expect(tab.connection.getState().freshAt).toBeNull());
  });

  it('is stale also if a server accepts requests and never answers, and goes on trying', async () => {
    const server = await TestServer.start();
    const tab = open(server);
    await live(tab);
    server.answers.set('GET /api/me', () => new Promise(() => {}));
    server.refuse = fail(503, 'draining');
    server.cut();
    await until(() => expect(status(tab)).toBe('stale'));
    server.refuse = null;
    await live(tab);
  });

  it('does not wait for a clock that was set back by an hour', async () => {
    clock();
    const server = await TestServer.start();
    const tab = open(server);
    await live(tab);
    await server.close();
    await until(() => expect(status(tab)).toBe('connecting'));
    vi.setSystemTime(Date.now() - 3_600_000);
    await until(() => expect(status(tab)).toBe('stale'));
  });

  it('reports the number of missed events after a break', async () => {
    clock();
    const server = await TestServer.start();
    const tab = open(server);
    await live(tab);
    server.publish('room_started', standup, set(standup));
    await until(() => expect(tab.cursors()).toHaveLength(1));
    await server.close();
    await until(() => expect(status(tab)).toBe('connecting'));
    vi.advanceTimersByTime(4_000);
    const behind: number[] = [];
    tab.connection.onState(() => behind.push(tab.connection.getState().behind));
    for (let n = 0; n < 50; n++) server.publish('participant_joined', standup);
    // The head is 20 events further: the rest arrives in a moment.
    const held = server.log.splice(31);
    await server.listen();
    server.answers.set('GET /api/events', () => ({
      status: 200,
      body: {
        epoch: server.epoch,
        cursor: server.cursor(51),
        first: null,
        last: null,
        prev: null,
        next: null,
        events: held.slice(-1),
      },
    }));
    await until(() => expect(status(tab)).toBe('catching_up'));
    await until(() => expect(tab.connection.getState().behind).toBe(20));
    for (const message of held) {
      server.log.push(message);
      for (const stream of server.streams) stream.raw(`id: ${message.cursor}\ndata: ${JSON.stringify(message)}\n\n`);
    }
    await live(tab);
    expect(tab.cursors()).toHaveLength(51);
    expect(Math.max(...behind)).toBe(20);
  });

  it('sends a token in the query, because EventSource has no headers, and no cookie', async () => {
    const server = await TestServer.start();
    const token = `x.${Buffer.from('{"sub":"app"}').toString('base64url')}.y`;
    const tab = open(server, { token });
    await live(tab);
    expect(server.opened[0]?.query.get('access_token')).toBe(token);
  });
});
