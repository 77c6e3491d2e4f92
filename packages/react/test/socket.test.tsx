import { createServer } from 'node:http';
import { cleanup, renderHook } from '@testing-library/react';
import { Server, type Socket } from 'socket.io';
import { describe, expect, it } from 'vitest';
import { connectSocket, type SocketOptions, useSocketEvents } from '../src/hooks/useSocketEvents';
import type { Message } from '../src/index';
import { atEnd } from './cleanup';
import { listenOn, room, TestServer } from './server';
import { until } from './tab';

/** The Socket.IO part of the API, over the log of {@link TestServer}, with the official server. */
class TestSockets {
  readonly auths: Record<string, unknown>[] = [];
  /** Refusal as the server sends it: `code: message`. */
  refuse: string | null = null;
  url = '';
  private port: number | undefined;
  private http = createServer();
  private io: Server | undefined;

  constructor(readonly log: TestServer) {}

  static async start(): Promise<TestSockets> {
    const sockets = new TestSockets(await TestServer.start());
    await sockets.listen();
    atEnd(() => sockets.close());
    return sockets;
  }

  async listen(): Promise<void> {
    this.http = createServer();
    this.io = new Server(this.http, { cors: { origin: true, credentials: true } });
    this.io.use((socket, next) => {
      this.auths.push({ ...socket.handshake.auth });
      if (!this.refuse) return next();
      next(new Error(this.refuse));
    });
    this.io.on('connection', (socket) => this.welcome(socket));
    this.port = await listenOn(this.http, this.port);
    this.url = `http://127.0.0.1:${this.port}`;
  }

  /** Stops like a killed process, without a bye. */
  async close(): Promise<void> {
    this.http.closeAllConnections();
    await this.io?.close();
  }

  say(event: string, value: unknown): void {
    this.io?.emit(event, value);
  }

  /** Disconnects from the server: then the client of Socket.IO does not reconnect by itself. */
  kick(): void {
    this.io?.disconnectSockets(false);
  }

  publish(type: string): Message {
    const message = this.log.publish(type, room('standup'));
    this.say('room:event', message);
    return message;
  }

  private welcome(socket: Socket): void {
    const given = socket.handshake.auth.after as string | undefined;
    const [epoch, seq] = given?.split('-') ?? [];
    const known = epoch === this.log.epoch;
    const from = given && known ? Number(seq) : this.log.log.length;
    const reset = given && !known ? { reset: 'unknown_epoch' } : {};
    socket.emit('connected', {
      type: 'connected',
      cursor: this.log.cursor(from),
      resumed: Boolean(given && known),
      ...reset,
    });
    if (given && !known) socket.emit('reset', { reason: 'unknown_epoch', cursor: this.log.cursor(from) });
    for (const message of this.log.log.slice(from)) socket.emit('room:event', message);
  }
}

function open(server: TestSockets, options: SocketOptions = {}) {
  const cursors: string[] = [];
  const resets: string[] = [];
  const socket = connectSocket({
    url: server.url,
    onEvent: ({ cursor }) => cursors.push(cursor),
    onReset: (reason) => resets.push(reason),
    ...options,
  });
  atEnd(() => socket.close());
  const live = () => until(() => expect(socket.getState().status).toBe('live'));
  return { socket, cursors, resets, live };
}

describe('Socket.IO', () => {
  it.each([['websocket' as const], ['polling' as const]])(
    'by %s survives three restarts without a hole or a duplicate',
    async (transport) => {
      const server = await TestSockets.start();
      const { cursors, live } = open(server, { transports: [transport] });
      await live();
      for (let round = 0; round < 3; round++) {
        server.publish('participant_joined');
        await until(() => expect(cursors.at(-1)).toBe(server.log.cursor()));
        await server.close();
        server.publish('participant_left');
        await server.listen();
        await until(() => expect(cursors.at(-1)).toBe(server.log.cursor()));
      }
      expect(cursors).toEqual(server.log.log.map(({ cursor }) => cursor));
      expect(server.auths.map((auth) => auth.after)).toEqual([undefined, '7f3a9c21-1', '7f3a9c21-3', '7f3a9c21-5']);
    },
  );

  it('sends token, cursor and filter in the handshake, and nothing else', async () => {
    const server = await TestSockets.start();
    const { live } = open(server, { token: () => 'tok', after: '7f3a9c21-0', room: ['a', 'b'], type: 'track_*' });
    await live();
    expect(server.auths).toEqual([{ token: 'tok', after: '7f3a9c21-0', room: ['a', 'b'], type: 'track_*' }]);
  });

  it('reports a reset and drops a duplicate', async () => {
    const server = await TestSockets.start();
    const { cursors, resets, live } = open(server, { after: 'ffffffff-7' });
    await live();
    expect(resets).toEqual(['unknown_epoch']);
    const message = server.publish('participant_joined');
    server.say('room:event', message);
    server.publish('participant_left');
    await until(() => expect(cursors).toEqual(['7f3a9c21-1', '7f3a9c21-2']));
  });

  it('moves its cursor with pings', async () => {
    const server = await TestSockets.start();
    const { socket, live } = open(server);
    await live();
    server.say('ping', { cursor: '7f3a9c21-9', at: 1 });
    await until(() => expect(socket.getState().cursor).toBe('7f3a9c21-9'));
  });

  it('reconnects after a bye', async () => {
    const server = await TestSockets.start();
    const { cursors, live } = open(server);
    await live();
    server.publish('participant_joined');
    await until(() => expect(cursors).toHaveLength(1));
    server.say('bye', { reason: 'drain' });
    server.kick();
    server.publish('participant_left');
    await until(() => expect(cursors).toEqual(server.log.log.map(({ cursor }) => cursor)));
  });

  it('asks for a new token before the old one expires', async () => {
    const server = await TestSockets.start();
    let n = 0;
    const { cursors, live } = open(server, { token: () => `token-${++n}` });
    await live();
    server.publish('participant_joined');
    await until(() => expect(cursors).toHaveLength(1));
    server.say('expiring', { at: Date.now() });
    await until(() => expect(server.auths).toHaveLength(2));
    expect(server.auths[1]).toEqual({ token: 'token-2', after: server.log.cursor() });
    await live();
    server.publish('participant_left');
    await until(() => expect(cursors).toEqual(server.log.log.map(({ cursor }) => cursor)));
  });

  it('is signed out after 401, and back after retry', async () => {
    const server = await TestSockets.start();
    server.refuse = 'unauthorized: sign in, or send a LiveKit access token';
    const { socket, live } = open(server);
    await until(() => expect(socket.getState().status).toBe('signed_out'));
    expect(socket.getState().error).toMatchObject({ code: 'unauthorized', status: 401 });
    server.refuse = null;
    socket.retry();
    await live();
    expect(socket.getState().error).toBeNull();
  });

  it('tries again by itself after another refusal', async () => {
    const server = await TestSockets.start();
    server.refuse = 'too_many_connections: five are open';
    const { socket, live } = open(server);
    await until(() => expect(socket.getState().error?.code).toBe('too_many_connections'));
    server.refuse = null;
    await live();
  });

  it('continues after the last cursor when the filter of the hook changes', async () => {
    const server = await TestSockets.start();
    const cursors: string[] = [];
    const { result, rerender } = renderHook(
      ({ type }: { type: string }) =>
        useSocketEvents({ url: server.url, type, onEvent: ({ cursor }) => cursors.push(cursor) }),
      { initialProps: { type: 'participant_*' }, reactStrictMode: true },
    );
    atEnd(cleanup);
    await until(() => expect(result.current.isConnected).toBe(true));
    expect(server.auths).toHaveLength(1);
    server.publish('participant_joined');
    await until(() => expect(cursors).toHaveLength(1));
    rerender({ type: 'track_*' });
    await until(() => expect(server.auths).toHaveLength(2));
    expect(server.auths[1]).toEqual({ type: 'track_*', after: server.log.cursor() });
    await until(() => expect(result.current.isConnected).toBe(true));
  });
});
