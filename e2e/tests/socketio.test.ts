// Issue 5: the same events over Socket.IO, for a Node script with the official client.
import { io, type Socket } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cast } from '../harness/cast.js';
import { mint } from '../harness/livekit.js';
import { type Message, seqOf } from '../harness/reader.js';
import { until } from '../harness/wait.js';
import { World } from '../harness/world.js';

let world: World;
let cast: Cast;
beforeAll(async () => {
  world = await World.start('socketio');
  cast = await world.cast();
});
afterAll(() => world?.stop());

type Transport = 'polling' | 'websocket';
type Script = { socket: Socket; events: Message[]; connections: any[]; resets: any[] };

/** The code of an integrator: it keeps the last cursor, and sends it with each connection. */
function script(transports: Transport[], auth: Record<string, unknown>): Script {
  const events: Message[] = [];
  const connections: any[] = [];
  const resets: any[] = [];
  let cursor: string | undefined;
  const socket = io(world.roomwatch.url, {
    transports,
    forceNew: true,
    reconnectionDelay: 100,
    reconnectionDelayMax: 1_000,
    auth: (answer) => answer({ ...auth, ...(cursor === undefined ? {} : { after: cursor }) }),
  });
  socket.on('connected', (first) => {
    connections.push(first);
    cursor ??= first.cursor;
  });
  socket.on('room:event', (message: Message) => {
    events.push(message);
    cursor = message.cursor;
  });
  socket.on('reset', (reset) => resets.push(reset));
  return { socket, events, connections, resets };
}

const ways: { way: string; transports: Transport[] }[] = [
  { way: 'websocket', transports: ['websocket'] },
  { way: 'polling', transports: ['polling'] },
  { way: 'polling and the upgrade', transports: ['polling', 'websocket'] },
];
describe.each(ways)('socket.io-client over $way', ({ way, transports }) => {
  it('survives three restarts of Roomwatch without a gap or a duplicate', async () => {
    const { roomwatch, livekit } = world;
    const room = `by ${way}`;
    const token = await mint({ roomList: true }, 'integrator');
    const witness = await roomwatch.read();
    const { socket, events, connections, resets } = script(transports, { token });
    try {
      await until('the first connection', () => connections.length === 1);
      const person = await cast.join(room, 'alice');
      await until('the join', () => events.some((m) => m.type === 'participant_joined' && m.room === room));
      for (let round = 0; round < 3; round++) {
        if (round === 1) await roomwatch.stop();
        else await roomwatch.kill();
        const sid = await person.publish('microphone');
        await roomwatch.up();
        await until(
          'what happened meanwhile',
          () => events.some((m) => m.type === 'track_published' && m.data.track.sid === sid),
          {
            within: 60_000,
          },
        );
        await person.unpublish(sid);
      }
      await livekit.deleteRoom(room);
      await until('the end', () => events.some((m) => m.type === 'room_finished' && m.room === room));
      // It has reconnected each time, over the requested transport.
      expect(connections.length).toBeGreaterThanOrEqual(4);
      await until('the transport', () => socket.io.engine.transport.name === transports.at(-1));
      expect(connections.slice(1).every((c) => c.resumed)).toBe(true);
      expect(resets).toEqual([]);
      const seqs = events.map((m) => seqOf(m.cursor));
      expect(seqs).toEqual(Array.from({ length: seqs.length }, (_, i) => (seqs[0] ?? 0) + i));
      // The messages are those of the event stream.
      await witness.find('the end', (m) => m.type === 'room_finished' && m.room === room);
      const last = seqs.at(-1) ?? 0;
      expect(events).toEqual(
        witness.messages.filter((m) => seqOf(m.cursor) >= (seqs[0] ?? 0) && seqOf(m.cursor) <= last),
      );
    } finally {
      socket.close();
      witness.close();
    }
  });
});

it('a cursor of another epoch is reported, and the stream is not marked as resumed', async () => {
  const token = await mint({ roomList: true }, 'integrator');
  const { socket, connections } = script(['websocket'], { token, after: '00000000-7' });
  await until('the connection', () => connections.length === 1);
  expect(connections[0]).toMatchObject({ resumed: false, reset: 'unknown_epoch' });
  socket.close();
});

it('a token for one room sees only that room, and without a token nothing is visible', async () => {
  const mine = script(['websocket'], { token: await mint({ roomJoin: true, room: 'mine' }, 'guest') });
  await until('the connection', () => mine.connections.length === 1);
  const other = await cast.join('other', 'bob');
  const person = await cast.join('mine', 'carol');
  await until('the join', () => mine.events.some((m) => m.data.participant?.sid === person.sid));
  expect(mine.events.every((m) => m.room === 'mine')).toBe(true);
  await other.leave();
  await person.leave();
  mine.socket.close();

  const anonymous = io(world.roomwatch.url, { transports: ['websocket'], forceNew: true, reconnection: false });
  const refused = await new Promise<any>((resolve) => anonymous.on('connect_error', resolve));
  expect(JSON.stringify(refused.data ?? refused.message)).toContain('unauthorized');
  anonymous.close();
});
