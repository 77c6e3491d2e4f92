// Issue 3: every command works on a real LiveKit server, and its effect arrives as an event.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cast, Person } from '../harness/cast.js';
import type { Reader } from '../harness/reader.js';
import { until } from '../harness/wait.js';
import { World } from '../harness/world.js';

const ROOM = 'plenary / #1 ü';
const PATH = `/api/rooms/${encodeURIComponent(ROOM)}`;

let world: World;
let cast: Cast;
let reader: Reader;
let alice: Person;
let microphone: string;

beforeAll(async () => {
  world = await World.start('commands');
  cast = await world.cast();
  reader = await world.roomwatch.read(`?room=${encodeURIComponent(ROOM)}`);
});
afterAll(() => world?.stop());

describe('a command', () => {
  it('creates a room', async () => {
    const answer = await world.roomwatch.request('POST', '/api/rooms', {
      name: ROOM,
      metadata: 'm0',
      emptyTimeout: 600,
      maxParticipants: 5,
    });
    expect(answer.status).toBe(201);
    const started = await reader.find('room_started', (m) => m.type === 'room_started');
    expect(started.data.room).toMatchObject({ name: ROOM, metadata: 'm0', emptyTimeout: 600, maxParticipants: 5 });
    alice = await cast.join(ROOM, 'alice', { name: 'Alice' });
    microphone = await alice.publish('microphone');
    await reader.find('her microphone', (m) => m.type === 'track_published');
  });

  it('updates the metadata of a room', async () => {
    expect((await world.roomwatch.request('PATCH', PATH, { metadata: 'm1' })).status).toBe(200);
    const updated = await reader.find('room_updated', (m) => m.type === 'room_updated');
    expect(updated.data.room.metadata).toBe('m1');
    expect((await world.roomwatch.get(PATH)).room.metadata).toBe('m1');
  });

  it('updates a participant', async () => {
    const change = {
      name: 'Alicia',
      metadata: 'p1',
      attributes: { hand: 'up' },
      permission: { canPublish: true, canSubscribe: true, canPublishData: false },
    };
    expect((await world.roomwatch.request('PATCH', `${PATH}/participants/alice`, change)).status).toBe(200);
    await until('the change in the state', async () => {
      const { participants } = await world.roomwatch.get(`${PATH}/participants`);
      expect(participants[0]).toMatchObject({ name: 'Alicia', metadata: 'p1', attributes: { hand: 'up' } });
      return true;
    });
    const updated = await reader.find('participant_updated', (m) => m.type === 'participant_updated');
    expect(updated.data.participant.sid).toBe(alice.sid);
    expect(updated.source).toBe('reconcile');
  });

  it('mutes a track, and unmutes it', async () => {
    const path = `${PATH}/participants/alice/tracks/${microphone}/mute`;
    expect((await world.roomwatch.request('POST', path, { muted: true })).status).toBe(200);
    const muted = await reader.find('track_muted', (m) => m.type === 'track_muted');
    expect(muted.data.track.sid).toBe(microphone);
    expect((await world.roomwatch.request('POST', path, { muted: false })).status).toBe(200);
    await reader.find('track_unmuted', (m) => m.type === 'track_unmuted');
  });

  it('sends data, which participants receive', async () => {
    expect((await world.roomwatch.request('POST', `${PATH}/data`, { text: 'hello', topic: 'chat' })).status).toBe(204);
    expect(
      (await world.roomwatch.request('POST', `${PATH}/data`, { base64: 'aGk=', identities: ['alice'] })).status,
    ).toBe(204);
    await until('both', async () => {
      const got = await alice.data();
      return got.includes('hello') && got.includes('hi');
    });
  });

  it('removes a participant', async () => {
    expect((await world.roomwatch.request('DELETE', `${PATH}/participants/alice`)).status).toBe(204);
    const left = await reader.find('participant_left', (m) => m.type === 'participant_left');
    expect(left.data.participant).toMatchObject({ sid: alice.sid, disconnectReason: 'PARTICIPANT_REMOVED' });
  });

  it('ends a room', async () => {
    expect((await world.roomwatch.request('DELETE', PATH)).status).toBe(204);
    await reader.find('room_finished', (m) => m.type === 'room_finished');
    const gone = await world.roomwatch.request('GET', PATH);
    expect([gone.status, gone.json.error.code]).toEqual([404, 'room_not_live']);
  });

  it('for an unknown room or participant gets 404', async () => {
    for (const [method, path, body] of [
      ['DELETE', PATH, undefined],
      ['PATCH', PATH, { metadata: 'x' }],
      ['DELETE', `${PATH}/participants/alice`, undefined],
      ['PATCH', `${PATH}/participants/alice`, { name: 'x' }],
      ['POST', `${PATH}/participants/alice/tracks/TR_nothing/mute`, { muted: true }],
      ['POST', `${PATH}/data`, { text: 'x' }],
    ] as const) {
      const answer = await world.roomwatch.request(method, path, body);
      expect([method, path, answer.status]).toEqual([method, path, 404]);
    }
  });

  it('is refused if it has nothing to do or too much', async () => {
    // LiveKit itself would create a room with an empty name.
    for (const body of [{}, { name: '' }, { name: 7 }, []]) {
      expect((await world.roomwatch.request('POST', '/api/rooms', body)).status).toBe(400);
    }
    expect(await world.livekit.listRooms()).toEqual([]);
  });

  it('is in the audit record with its user, action and outcome', async () => {
    const { entries } = await world.roomwatch.get('/api/audit');
    const outcomes = entries.filter((entry: any) => entry.room === ROOM).map((entry: any) => entry.outcome);
    expect(outcomes.length).toBeGreaterThanOrEqual(13);
    expect(entries.every((entry: any) => entry.user && entry.action && entry.at)).toBe(true);
  });

  it('gets 502 with the URL of LiveKit while LiveKit is down', async () => {
    await world.livekit.kill();
    try {
      const answer = await world.roomwatch.request('POST', '/api/rooms', { name: 'no livekit' });
      expect([answer.status, answer.json.error.code]).toEqual([502, 'livekit_unreachable']);
      expect(answer.json.error.message).toContain(`127.0.0.1:${world.livekit.port}`);
      await until(
        'the project to show it',
        async () => (await world.roomwatch.get('/api/projects')).projects[0].state === 'unreachable',
        {
          within: 90_000,
        },
      );
    } finally {
      await world.livekit.up();
    }
  });
});

describe('a watched room', () => {
  it('shows a mute by another client within three seconds', async () => {
    const watching = await world.roomwatch.read('?room=watched');
    const bob = await cast.join('watched', 'bob');
    const camera = await bob.publish('camera');
    await watching.find('the camera', (m) => m.type === 'track_published');
    await world.livekit.mute('watched', 'bob', camera, true);
    const at = Date.now();
    const muted = await watching.find('track_muted', (m) => m.type === 'track_muted', 3_000);
    console.log(`track_muted came after ${Date.now() - at} ms`);
    expect(muted).toMatchObject({ source: 'reconcile', room: 'watched' });
    expect(muted.data.track).toMatchObject({ sid: camera, muted: true });
    await world.livekit.mute('watched', 'bob', camera, false);
    await watching.find('track_unmuted', (m) => m.type === 'track_unmuted', 3_000);
    await world.livekit.mute('watched', 'bob', camera, true);
    await watching.find('a second track_muted', (m) => m.type === 'track_muted' && m.cursor !== muted.cursor, 3_000);
    await bob.leave();
    watching.close();
  });
});

describe('a session that has ended', () => {
  it('is found by the identity of a participant, after a restart', async () => {
    const { roomwatch, livekit } = world;
    const events = await roomwatch.read('?room=last-night');
    const carol = await cast.join('last-night', 'carol', { name: 'Carol' });
    await carol.publish('microphone');
    await events.find('her microphone', (m) => m.type === 'track_published');
    await carol.leave();
    await events.find('her leave', (m) => m.type === 'participant_left');
    await livekit.deleteRoom('last-night');
    const finished = await events.find('the end', (m) => m.type === 'room_finished');
    await roomwatch.stop();
    await roomwatch.up();
    const { sessions } = await roomwatch.get('/api/sessions?identity=carol');
    expect(sessions).toHaveLength(1);
    expect(sessions[0]).toMatchObject({
      sid: finished.data.room.sid,
      room: 'last-night',
      participantCount: 1,
      publisherCount: 1,
    });
    const session = await roomwatch.get(`/api/sessions/${sessions[0].sid}`);
    expect(session.participations[0]).toMatchObject({ sid: carol.sid, identity: 'carol', name: 'Carol' });
    expect(session.participations[0].leftAt).toBeGreaterThan(session.participations[0].joinedAt);
    expect(session.tracks[0]).toMatchObject({ participantSid: carol.sid, type: 'audio', source: 'microphone' });
    const { results } = await roomwatch.get('/api/search?q=carol');
    expect(results.some((result: any) => result.identity === 'carol')).toBe(true);
    events.close();
  });
});
