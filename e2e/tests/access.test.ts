// Issue 6 with a real LiveKit: its access tokens decide what a caller sees, in streams, replays and lists.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cast } from '../harness/cast.js';
import { mint } from '../harness/livekit.js';
import { PASSWORD } from '../harness/roomwatch.js';
import { until } from '../harness/wait.js';
import { World } from '../harness/world.js';

let world: World;
let cast: Cast;
beforeAll(async () => {
  world = await World.start('access');
  cast = await world.cast();
});
afterAll(() => world?.stop());

const bearer = async (...grant: Parameters<typeof mint>) => ({ authorization: `Bearer ${await mint(...grant)}` });

describe("LiveKit's access tokens", () => {
  it('with roomJoin see that room, its present session, and no hidden participants', async () => {
    const { roomwatch, livekit } = world;
    const all = await roomwatch.read();
    const yesterday = await cast.join('daily', 'yesterday');
    await all.find('the first session', (m) => m.type === 'participant_joined');
    await yesterday.leave();
    await livekit.deleteRoom('daily');
    await all.find('its end', (m) => m.type === 'room_finished');

    const guest = await bearer({ roomJoin: true, room: 'daily' }, 'guest');
    const alice = await cast.join('daily', 'alice');
    await cast.join('daily', 'observer', { grant: { hidden: true, canPublish: false } });
    await cast.join('elsewhere', 'mallory');
    await all.find('the hidden one', (m) => m.data.participant?.identity === 'observer');
    await all.find('the other room', (m) => m.data.participant?.identity === 'mallory');

    const replayed = await roomwatch.read('?after=start', guest);
    await replayed.find("alice's join", (m) => m.data.participant?.sid === alice.sid);
    const microphone = await alice.publish('microphone');
    await replayed.find('live', (m) => m.data.track?.sid === microphone);
    const seen = JSON.stringify(replayed.messages);
    for (const name of ['yesterday', 'observer', 'elsewhere', 'mallory']) expect(seen).not.toContain(name);

    const { rooms } = (await roomwatch.request('GET', '/api/rooms', undefined, guest)).json;
    expect(rooms.map((room: any) => room.name)).toEqual(['daily']);
    const { participants } = (await roomwatch.request('GET', '/api/rooms/daily/participants', undefined, guest)).json;
    expect(participants.map((one: any) => one.identity)).toEqual(['alice']);
    const foreign = await roomwatch.request('GET', '/api/rooms/elsewhere', undefined, guest);
    const absent = await roomwatch.request('GET', '/api/rooms/not-there', undefined, guest);
    expect([foreign.status, foreign.text.replaceAll('elsewhere', '')]).toEqual([
      absent.status,
      absent.text.replaceAll('not-there', ''),
    ]);
    expect((await roomwatch.request('DELETE', '/api/rooms/daily', undefined, guest)).status).toBe(403);
    replayed.close();
    all.close();
  });

  it('with roomAdmin may moderate their room and no other', async () => {
    const { roomwatch } = world;
    const host = await bearer({ roomAdmin: true, room: 'daily' }, 'host');
    expect((await roomwatch.request('PATCH', '/api/rooms/daily', { metadata: 'by host' }, host)).status).toBe(200);
    const foreign = await roomwatch.request('PATCH', '/api/rooms/elsewhere', { metadata: 'x' }, host);
    const absent = await roomwatch.request('PATCH', '/api/rooms/not-there', { metadata: 'x' }, host);
    expect(foreign.status).toBe(absent.status);
    expect([403, 404]).toContain(foreign.status);
  });

  it('that are missing, expired, or signed with another key get 401', async () => {
    const { roomwatch } = world;
    const expired = await bearer({ roomList: true }, 'late', { ttl: -120 });
    for (const headers of [{}, expired, { authorization: 'Bearer junk' }]) {
      for (const path of ['/api/rooms', '/api/events', '/api/sessions', '/api/projects']) {
        expect([
          path,
          (await roomwatch.request('GET', path, undefined, headers as Record<string, string>)).status,
        ]).toEqual([path, 401]);
      }
    }
  });

  it('end their stream with bye when they expire', async () => {
    // The leeway is 60 s, so the token is made with only a little of it left.
    const soon = await bearer({ roomList: true }, 'soon', { ttl: -55 });
    const reader = await world.roomwatch.read('', soon);
    await until('bye', () => reader.byes.some((bye) => bye.reason === 'expired'));
    reader.close();
  });
});

describe('an operator', () => {
  it('signs in, stays signed in over a restart, and signs out, which ends the stream', async () => {
    const { roomwatch } = world;
    expect((await roomwatch.request('POST', '/api/login', { password: 'wrong' }, {})).status).toBe(401);
    const answer = await roomwatch.request('POST', '/api/login', { password: PASSWORD }, {});
    const cookie = answer.headers.getSetCookie()[0] ?? '';
    expect(cookie).toMatch(/HttpOnly/i);
    expect(cookie).toMatch(/SameSite=Strict/i);
    const session = { cookie: cookie.split(';')[0] ?? '' };
    await roomwatch.stop();
    await roomwatch.up();
    expect((await roomwatch.request('GET', '/api/me', undefined, session)).json).toMatchObject({
      kind: 'session',
      role: 'admin',
    });
    const reader = await roomwatch.read('', session);
    expect(
      (await roomwatch.request('POST', '/api/logout', undefined, { ...session, origin: 'https://evil.example' }))
        .status,
    ).toBe(403);
    expect((await roomwatch.request('POST', '/api/logout', undefined, session)).status).toBe(200);
    await until('bye', () => reader.byes.some((bye) => bye.reason === 'expired'));
    expect((await roomwatch.request('GET', '/api/me', undefined, session)).status).toBe(401);
    reader.close();
  });

  it('has five streams: the sixth gets 429, and one that closes frees its slot at once', async () => {
    const { roomwatch } = world;
    const who = await bearer({ roomList: true }, 'five');
    const readers = await Promise.all(Array.from({ length: 5 }, () => roomwatch.read('', who)));
    const sixth = await roomwatch.request('GET', '/api/events', undefined, { ...who, accept: 'text/event-stream' });
    expect([sixth.status, sixth.json.error.code]).toEqual([429, 'too_many_connections']);
    expect(Number(sixth.headers.get('retry-after'))).toBeGreaterThan(0);
    readers[0]?.close();
    const again = await roomwatch.read('', who);
    for (const reader of [...readers, again]) reader.close();
  });
});
